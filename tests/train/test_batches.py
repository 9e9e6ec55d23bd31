from dataclasses import replace

import numpy as np
import pytest

from fmnist_edge.dataset import Split, load_split
from fmnist_train.backend import keras
from fmnist_train.batches import DropoutClock, EpochClock, draw_flips, draw_order, training_batches
from fmnist_train.fitting import load_training_data
from fmnist_train.recipes import DEFAULT, TUTORIAL

COUNT = 200


@pytest.fixture
def numbered() -> Split:
    """Return images that carry their number in their first pixel and a mark in their last column."""
    images = np.zeros((COUNT, 28, 28), np.uint8)
    images[:, 0, :] = np.arange(COUNT, dtype=np.uint8)[:, None]
    images[:, 1, 27] = 255
    return Split(images, (np.arange(COUNT) % 10).astype(np.uint8))


def seen(batches: object) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(images.numpy(), labels.numpy()) for images, labels in batches]  # type: ignore[attr-defined]
    return np.concatenate([images for images, _ in pairs]), np.concatenate([labels for _, labels in pairs])


def test_an_epoch_shows_every_image_once_with_its_own_label(numbered: Split) -> None:
    batches = training_batches(numbered, replace(DEFAULT, batch_size=64), seed=1, epoch=0)
    images, labels = seen(batches)
    numbers = images[:, 0, 0].astype(int)
    assert sorted(numbers) == list(range(COUNT))
    np.testing.assert_array_equal(labels, numbers % 10)
    assert [len(batch) for _, batch in batches] == [64, 64, 64, 8]


def test_flips_mirror_whole_images_about_half_of_them(numbered: Split) -> None:
    images, _ = seen(training_batches(numbered, DEFAULT, seed=1, epoch=0))
    mirrored = images[:, 1, 0] == 255
    np.testing.assert_array_equal(images[~mirrored, 1, 27], 255)
    assert 70 <= mirrored.sum() <= 130


def test_a_recipe_without_flips_shows_the_images_as_they_are(numbered: Split) -> None:
    images, _ = seen(training_batches(numbered, TUTORIAL, seed=1, epoch=0))
    np.testing.assert_array_equal(images, numbered.images[images[:, 0, 0]])


def test_order_and_flips_depend_on_seed_and_epoch_alone() -> None:
    for draw in (draw_order, draw_flips):
        first = np.asarray(draw(COUNT, 1, 7))
        np.testing.assert_array_equal(first, np.asarray(draw(COUNT, 1, 7)))
        assert np.any(first != np.asarray(draw(COUNT, 1, 8)))
        assert np.any(first != np.asarray(draw(COUNT, 2, 7)))


def test_the_clock_sets_which_epoch_the_batches_show(numbered: Split) -> None:
    clock = EpochClock()
    batches = training_batches(numbered, DEFAULT, seed=1, epoch=clock.epoch)
    clock.on_epoch_begin(5)
    images, labels = seen(batches)
    expected_images, expected_labels = seen(training_batches(numbered, DEFAULT, seed=1, epoch=5))
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)


def test_the_masks_of_dropout_go_on_from_epoch_to_epoch() -> None:
    dropout = keras.layers.Dropout(0.5)
    model = keras.Sequential([keras.Input((8,)), dropout])
    seed = dropout.seed_generator.state.numpy()[0]
    clock = DropoutClock(steps=7)
    clock.set_model(model)
    for epoch in (0, 3):
        clock.on_epoch_begin(epoch)
        assert dropout.seed_generator.state.numpy().tolist() == [seed, epoch * 7]
    model(np.ones((2, 8)), training=True)
    assert dropout.seed_generator.state.numpy()[1] == 3 * 7 + 1  # a mask a step


def test_training_sees_the_first_55000_or_all_60000_training_images_and_never_a_test_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []

    def watched(name: str, folder: object = None) -> Split:
        loaded.append(name)
        return load_split(name)  # type: ignore[arg-type]

    monkeypatch.setattr("fmnist_train.fitting.load_split", watched)
    kept, everything = load_training_data(DEFAULT), load_training_data(TUTORIAL)
    assert loaded == ["train", "validation", "full-train"]
    all_images = everything.train.images
    assert all_images.shape == (60_000, 28, 28)
    np.testing.assert_array_equal(kept.train.images, all_images[:55_000])
    assert kept.validation is not None
    np.testing.assert_array_equal(kept.validation.images, all_images[55_000:])
    assert everything.validation is None
