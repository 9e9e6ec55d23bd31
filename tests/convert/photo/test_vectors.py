"""The photo model's self-test vectors: small, five composites and a dataset image, and those that are shipped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fmnist_convert.photo.vectors import MAX_BYTES, build_photo_vectors
from fmnist_edge.classifier import Classifier, PhotoModel
from fmnist_edge.model_info import EMBEDDED_PHOTO_MODEL, read_vectors, sha256_of
from fmnist_edge.self_test import PhotoVectors, load_vectors


@pytest.fixture(scope="module")
def shipped() -> PhotoVectors:
    vectors = load_vectors(EMBEDDED_PHOTO_MODEL)
    assert isinstance(vectors, PhotoVectors)
    return vectors


def test_the_shipped_vectors_are_those_that_the_make_target_builds(test_split: Any) -> None:
    built = build_photo_vectors(sha256_of(EMBEDDED_PHOTO_MODEL), PhotoModel(), test_split)
    recorded = read_vectors(EMBEDDED_PHOTO_MODEL)
    for mine, theirs in zip(built["photos"], recorded["photos"], strict=True):
        np.testing.assert_allclose(mine.pop("probabilities"), theirs.pop("probabilities"), atol=1e-6)
    assert built == recorded


def test_there_are_five_composites_of_at_most_20_kilobytes_each(shipped: PhotoVectors) -> None:
    kinds = [entry["what"] for entry in read_vectors(EMBEDDED_PHOTO_MODEL)["photos"]]
    assert kinds == ["composite"] * 5 + ["dataset image"]
    assert all(0.9 * MAX_BYTES < photo.nbytes <= MAX_BYTES for photo in shipped.photos[:5])


def test_a_composite_is_drawn_anew_and_a_dataset_image_is_left_as_it_is(shipped: PhotoVectors) -> None:
    plain = shipped.photos[5]
    assert np.array_equal(shipped.images[5], plain[..., 0])
    answer = Classifier(route="dataset").predict(shipped.images[5:])[0]
    np.testing.assert_allclose(answer, shipped.probabilities[5], atol=1e-6)
    assert all(image.max() > 200 and image.min() == 0 for image in shipped.images[:5])
