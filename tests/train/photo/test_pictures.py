"""Drawing, changing and negatives: their edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fmnist_edge.dataset import load_split
from fmnist_train.photo.drawing import draw, rendered
from fmnist_train.photo.jitter import JitterRecipe, blotched, jittered
from fmnist_train.photo.negatives import KINDS, TEST_SEED, TRAIN_SEED, negatives
from fmnist_train.photo.photos import train_photos
from fmnist_train.photo.pictures import PictureRecipe, varied
from fmnist_train.photo.redrawing import redrawn, redrawn_views
from fmnist_train.photo.redrawing_recipe import RedrawingRecipe
from fmnist_train.photo.taps import DrawingRule

STILL = PictureRecipe(turn=0, scale=0, aspect=0, shift=0, brightness=0, noise=0)


def disc(_thumbnail: object = None) -> NDArray[np.float32]:
    y, x = np.mgrid[0:96, 0:96]
    return (8 - ((y - 48) ** 2 + (x - 48) ** 2) / 60).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (2, 3), (640, 480)])
def test_photos_of_any_size_are_drawn(shape: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    drawn = draw(photo, disc)
    assert (drawn.picture.shape, drawn.picture.dtype, drawn.mask.shape) == ((28, 28), np.uint8, (96, 96))


def test_the_garment_fills_the_picture_dark_cloth_bright() -> None:
    photo = np.full((200, 200, 3), 220, np.uint8)
    photo[50:150, 70:130] = 40
    logits = np.full((96, 96), -9, np.float32)
    logits[24:72, 34:62] = 9
    picture = rendered(photo, logits, DrawingRule()).picture
    assert picture[:, 14].min() > 80  # from the first row to the last
    assert picture[:, 0].max() == 0
    rows = np.nonzero(picture.max(1))[0]
    assert (rows[0], rows[-1]) == (0, 27)


def test_an_image_of_the_dataset_comes_out_as_it_is() -> None:
    image = load_split("train").images[0]
    drawn = draw(np.repeat(image[..., None], 3, axis=2), disc)
    assert drawn.bypassed and not drawn.mask.any()
    assert np.abs(drawn.picture.astype(int) - image).max() <= 1


def test_a_far_smaller_second_piece_is_left_out() -> None:
    logits = np.full((96, 96), -9, np.float32)
    logits[20:70, 20:70] = 9
    logits[85:90, 85:90] = 9
    mask = rendered(np.zeros((96, 96, 3), np.uint8), logits, DrawingRule()).mask
    assert mask[40, 40] == 255 and mask[87, 87] == 0


def test_changing_nothing_gives_the_pictures_or_their_mirror_images() -> None:
    pictures = load_split("train").images[:20]
    changed = varied(np.random.default_rng(0), pictures, STILL)
    same = np.abs(changed - pictures).max((1, 2)) < 0.01
    mirrored = np.abs(changed - pictures[:, :, ::-1]).max((1, 2)) < 0.01
    assert (same | mirrored).all() and same.any() and mirrored.any()


def test_changed_photos_keep_their_shape_and_differ() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (300, 600, 3), dtype=np.uint8)
    one, other = (jittered(np.random.default_rng(seed), photo, JitterRecipe()) for seed in (1, 2))
    assert one.shape == (112, 224, 3) and not np.array_equal(one, other)
    assert np.array_equal(one, jittered(np.random.default_rng(1), photo, JitterRecipe()))
    assert jittered(np.random.default_rng(1), photo[:1, :1], JitterRecipe()).shape == (1, 1, 3)
    assert blotched(np.random.default_rng(1), disc(), JitterRecipe()).shape == (96, 96)


def test_every_kind_of_negative_is_drawn_and_training_shares_none_with_tests() -> None:
    train, kinds = negatives(len(KINDS), TRAIN_SEED)
    test, _ = negatives(len(KINDS), TEST_SEED)
    assert kinds == list(KINDS)
    assert all(one.dtype == np.uint8 and one.shape[2] == 3 for one in train)
    assert not any(np.array_equal(one, other) for one, other in zip(train, test, strict=True))


def test_borders_of_photos_are_negatives_where_photos_are_named(few_photos: Path) -> None:
    paths = train_photos(few_photos).paths
    drawn, kinds = negatives(len(KINDS) + 1, TRAIN_SEED, paths)
    assert kinds[-1] == "border" and min(drawn[-1].shape[:2]) >= 8


def test_a_redrawn_image_fills_its_picture_and_keeps_its_shape_where_nothing_is_changed() -> None:
    split = load_split("train")
    images, labels = split.images[:200], split.labels[:200]
    still = RedrawingRecipe(**dict.fromkeys(vars(RedrawingRecipe()), 0.0))
    same = redrawn(np.random.default_rng(0), images, labels, still, DrawingRule())
    changed = redrawn(np.random.default_rng(0), images, labels, RedrawingRecipe(), DrawingRule())
    assert same.dtype == np.uint8 and same.shape == changed.shape == (200, 28, 28)
    either = np.minimum(*(_disagreement(same, images[:, :, ::step]) for step in (1, -1)))
    assert np.median(either) < 0.12 < 0.2 < np.median(_disagreement(changed, images))
    spans = (changed > 20).any(2).sum(1)
    assert np.median(np.maximum(spans, (changed > 20).any(1).sum(1))) >= 26


def _disagreement(pictures: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of inked cells that differ: 1 - intersection over union."""
    one, other = pictures > 40, others > 40
    return 1 - (one & other).sum((1, 2)) / np.maximum((one | other).sum((1, 2)), 1)


def test_how_many_processes_redraw_changes_nothing() -> None:
    split = load_split("validation")
    few = type(split)(split.images[:2100], split.labels[:2100])
    one, two = (redrawn_views(few, RedrawingRecipe(), 1, 3, processes) for processes in (1, 2))
    assert one.shape == (1, 2100, 28, 28) and np.array_equal(one, two)
