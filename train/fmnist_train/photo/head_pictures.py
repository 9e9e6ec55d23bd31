"""The pictures that a photo head is fitted on and judged by, all found by the segmenter but for the plain images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import Split, load_split
from fmnist_train.photo.composites import CompositeRecipe
from fmnist_train.photo.head_fitting import Source, Targets
from fmnist_train.photo.negatives import TEST_SEED, TRAIN_SEED, negatives
from fmnist_train.photo.photos import fold, train_photos
from fmnist_train.photo.pools import draw_pool
from fmnist_train.photo.progress import Report, counting
from fmnist_train.photo.recipes import HeadRecipe
from fmnist_train.photo.redrawing import redrawn_views
from fmnist_train.photo.taps import DrawingRule
from fmnist_train.photo.views import exact_pictures, open_segmenter, photo_views

PROCESSES: Final = 2  # that draw pictures; how many changes nothing in them
JUDGED_COMPOSITES: Final = 1_000  # of validation images, where no photo is used
JUDGED_NEGATIVES: Final = 210
POOL_SEED_STEP: Final = 1_000_000  # keeps a head's composites apart from those of the segmenter of the same seed


@dataclass(frozen=True, eq=False)
class Judged:
    """Pictures that a head is judged by."""

    pictures: NDArray[np.uint8]
    """[n, 28, 28]"""
    allowed: NDArray[np.bool_]
    """[n, 10]: the labels that count as right."""
    classes: NDArray[np.str_]
    """[n]: names of folders, or of labels for composites."""
    negatives: NDArray[np.uint8]
    """[m, 28, 28]: of what is no garment, of other seeds and photos than in training."""
    negative_kinds: tuple[str, ...]
    """[m]"""


@dataclass(frozen=True, eq=False)
class HeadPictures:
    """All pictures of a training."""

    fold: list[Source]
    """To fit the head that choices are made with: `judged` are not among them."""
    everything: list[Source] | None
    """To fit the head that is written; None where that is the same."""
    judged: Judged


def draw_head_pictures(
    recipe: HeadRecipe, seed: int, segmenter: Path, data: Path | None, photos: Path | None, report: Report
) -> HeadPictures:
    """Draw all pictures that a recipe needs. `photos` is their folder, None for a recipe that uses none."""
    train = load_split("train", data)
    weights = np.array(recipe.weights)[train.labels]
    plain = Source(train.images[None], one_hot(train.labels), recipe.images, recipe.strong, weights)
    if photos is None:
        return _without_photos(recipe, seed, segmenter, train, load_split("validation", data), plain, report)
    return _with_photos(recipe, seed, segmenter, photos, plain, report)


def _with_photos(
    recipe: HeadRecipe, seed: int, segmenter: Path, folder: Path, plain: Source, report: Report
) -> HeadPictures:
    photos = train_photos(folder)
    total = len(photos.paths)
    fit, held_out = fold(photos.classes)
    on_drawn = counting(report, f"photos in {recipe.views} versions", total)
    views = photo_views(photos.paths, segmenter, recipe.views, seed, recipe.jitter, PROCESSES, on_drawn)
    no_garments = _Negatives(recipe, segmenter, [photos.paths[i] for i in fit], [photos.paths[i] for i in held_out])
    others = [no_garments.source, plain]
    report(f"drew {recipe.negative_pool:,} pictures of what is no garment")
    targets = photos.allowed.astype(np.float32)
    of_photos = Source(views, targets, recipe.photos, recipe.light)
    of_fold = replace(of_photos, pictures=views[:, fit], targets=targets[fit])
    judged = Judged(views[0, held_out], photos.allowed[held_out], photos.classes[held_out], *no_garments.judged)
    return HeadPictures([of_fold, *others], [of_photos, *others], judged)


def _without_photos(
    recipe: HeadRecipe, seed: int, segmenter: Path, train: Split, validation: Split, plain: Source, report: Report
) -> HeadPictures:
    some = Split(train.images[: recipe.redrawn_images], train.labels[: recipe.redrawn_images])
    views = redrawn_views(some, recipe.redrawing, recipe.redrawings, seed, PROCESSES)
    report(f"redrew {len(some.images):,} images {recipe.redrawings} times")
    weights = np.array(recipe.weights)[some.labels]
    redrawn = Source(views, one_hot(some.labels), recipe.redrawn, recipe.light, weights)
    pool = draw_pool(validation, CompositeRecipe(), JUDGED_COMPOSITES, seed + POOL_SEED_STEP)
    seen = exact_pictures(list(pool.photos), open_segmenter(segmenter), DrawingRule())
    no_garments = _Negatives(recipe, segmenter, [], [])
    names = np.array([LABELS[int(row.argmax())] if row.sum() == 1 else "Pair of shoes" for row in pool.allowed])
    judged = Judged(seen, pool.allowed, names, *no_garments.judged)
    return HeadPictures([redrawn, no_garments.source, plain], None, judged)


class _Negatives:
    """What is no garment: to train on, with borders of some photos, and to judge by, with those of others."""

    def __init__(self, recipe: HeadRecipe, segmenter: Path, train: list[Path], others: list[Path]) -> None:
        draw, rule = open_segmenter(segmenter), DrawingRule()
        photos, _ = negatives(recipe.negative_pool, TRAIN_SEED, train)
        everything_right = np.ones((len(photos), len(LABELS)), np.float32)
        self.source = Source(exact_pictures(photos, draw, rule)[None], everything_right, recipe.negatives, recipe.light)
        photos, kinds = negatives(JUDGED_NEGATIVES, TEST_SEED, others)
        self.judged = exact_pictures(photos, draw, rule), tuple(kinds)


def one_hot(labels: NDArray[np.uint8]) -> Targets:
    """Return targets, float32 [n, 10], of labels [n]."""
    return np.eye(len(LABELS), dtype=np.float32)[labels]
