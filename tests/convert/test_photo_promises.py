"""What the shipped photo model promises where no photo is at hand: scenes are named, what is no garment is unsure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fmnist_convert.photo.scenes import draw_scenes
from fmnist_edge import Classifier
from fmnist_train.photo.negatives import TEST_SEED, negatives


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


def test_garments_on_grounds_that_training_never_saw_get_their_label(classifier: Classifier, test_split: Any) -> None:
    images, labels = test_split.images[2000:2300], test_split.labels[2000:2300]
    found = [classifier.classify(scene).index for scene in draw_scenes(images, 11)]
    assert np.mean(found == labels) >= 0.65


def test_what_is_neither_clothes_nor_shoes_is_unsure(classifier: Classifier) -> None:
    pictures, kinds = negatives(140, TEST_SEED)
    assert len(set(kinds)) >= 6
    unsure = [classifier.classify(picture).unsure for picture in pictures]
    assert np.mean(unsure) >= 0.8
