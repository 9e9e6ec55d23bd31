"""Each limit of the device matrix is a check that can fail."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fmnist_bench.devices.answers import ClassifierAnswers, PhotoAnswers
from fmnist_bench.devices.checks import (
    broken_classifier_limits,
    broken_photo_limits,
    compare_classifier,
    compare_photos,
)
from fmnist_bench.devices.device import Promise


@pytest.fixture
def right() -> ClassifierAnswers:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (50, 10)).astype(np.float32)
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return ClassifierAnswers(random.integers(0, 256, (50, 128)).astype(np.uint8), logits, probabilities)


@pytest.fixture
def drawn() -> PhotoAnswers:
    random = np.random.default_rng(1)
    probabilities = np.full((20, 10), 0.05, np.float32)
    probabilities[:, 3] = 0.55
    images = random.integers(10, 240, (20, 28, 28)).astype(np.uint8)
    return PhotoAnswers(probabilities, images, np.zeros((20, 96, 96), np.uint8))


def broken(found: ClassifierAnswers, expected: ClassifierAnswers, promise: Promise = Promise.BITS) -> list[str]:
    return broken_classifier_limits(compare_classifier(found, expected), promise)


def changed(answers: ClassifierAnswers, name: str, place: tuple[int, int], value: float) -> ClassifierAnswers:
    array = getattr(answers, name).copy()
    array[place] = value
    return dataclasses.replace(answers, **{name: array})


def test_equal_answers_break_nothing(right: ClassifierAnswers) -> None:
    assert broken(right, right) == []


def test_one_step_in_one_hidden_unit_breaks_the_promise_of_bits(right: ClassifierAnswers) -> None:
    found = changed(right, "hidden", (7, 5), int(right.hidden[7, 5]) ^ 1)
    assert broken(found, right) == ["hidden layers of 1 of 50 images differ"]
    assert broken(found, right, Promise.FLOAT_PATH) == []


def test_the_last_bit_of_one_logit_breaks_the_promise_of_bits(right: ClassifierAnswers) -> None:
    found = changed(right, "logits", (3, 2), float(np.nextafter(right.logits[3, 2], np.float32(9))))
    assert broken(found, right) == ["logits of 1 of 50 images differ"]


@pytest.mark.parametrize(
    ("promise", "harmless", "harmful"), [(Promise.BITS, 5e-7, 3e-6), (Promise.FLOAT_PATH, 1e-3, 3e-3)]
)
def test_probabilities_may_differ_within_the_promise_only(
    right: ClassifierAnswers, promise: Promise, harmless: float, harmful: float
) -> None:
    for step, sentences in ((harmless, 0), (harmful, 1)):
        found = changed(right, "probabilities", (0, 0), float(right.probabilities[0, 0]) + step)
        assert len(broken(found, right, promise)) == sentences


def test_another_label_breaks_every_promise(right: ClassifierAnswers) -> None:
    other = (int(right.probabilities[9].argmax()) + 1) % 10
    found = changed(right, "probabilities", (9, other), 1.0)
    for promise in Promise:
        assert "labels of 1 of 50 images differ" in broken(found, right, promise)


def test_answers_that_are_no_numbers_are_not_taken_for_equal(right: ClassifierAnswers, drawn: PhotoAnswers) -> None:
    found = changed(right, "probabilities", (4, int(right.probabilities[4].argmin())), float("nan"))
    assert any("differs by nan" in sentence for sentence in broken(found, right))
    probabilities = drawn.probabilities.copy()
    probabilities[0, 0] = np.nan
    difference = compare_photos(dataclasses.replace(drawn, probabilities=probabilities), drawn)
    assert any("differs by nan" in sentence for sentence in broken_photo_limits(difference))


def test_one_grey_level_anywhere_is_allowed_on_photos_two_on_one_pixel_of_a_thousand(drawn: PhotoAnswers) -> None:
    shifted = dataclasses.replace(drawn, images=drawn.images + np.uint8(1))
    assert broken_photo_limits(compare_photos(shifted, drawn)) == []
    assert compare_photos(shifted, drawn).unequal_pixels == drawn.images.size
    for pixels, sentences in ((15, 0), (16, 1)):  # of 15,680
        images = drawn.images.copy()
        images.reshape(-1)[:pixels] -= np.uint8(2)
        difference = compare_photos(dataclasses.replace(drawn, images=images), drawn)
        assert len(broken_photo_limits(difference)) == sentences


def test_another_label_or_a_probability_off_by_more_than_a_hundredth_breaks_the_limits_of_photos(
    drawn: PhotoAnswers,
) -> None:
    for step, sentence in ((0.011, "on a photo a probability differs"), (0.9, "labels of 1 of 20 photos differ")):
        probabilities = drawn.probabilities.copy()
        probabilities[5, 0] += np.float32(step)
        found = compare_photos(dataclasses.replace(drawn, probabilities=probabilities), drawn)
        assert any(sentence in line for line in broken_photo_limits(found))
