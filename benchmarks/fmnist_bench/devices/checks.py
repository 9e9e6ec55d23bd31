"""Comparing a device's answers with what is expected: each limit is a check that can fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_bench.devices.answers import ClassifierAnswers, PhotoAnswers
from fmnist_bench.devices.device import Promise

# Of any probability of the classifier. In float an activation halfway between two integers may be rounded the other
# way, and one such step moves a probability by some 0.0003 to 0.0006.
MAX_DIFFERENCE: Final = {Promise.BITS: 1e-6, Promise.FLOAT_PATH: 0.002}
PHOTO_MAX_DIFFERENCE: Final = 0.01
PHOTO_MAX_FAR_PIXELS: Final = 0.001  # share of the pixels of `image` that may be more than one grey level off


@dataclass(frozen=True)
class ClassifierDifference:
    """How far a device's classifier is from plain integers, on n images."""

    images: int
    hidden: int
    """Images whose hidden layer differs."""
    logits: int
    """Images whose logits differ."""
    labels: int
    """Images whose label differs."""
    probability: float
    """The largest difference of a probability; not a number where the device gave none."""


@dataclass(frozen=True)
class PhotoDifference:
    """How far a device's photo model is from this machine's, on n photos."""

    photos: int
    labels: int
    """Photos whose label differs."""
    pixels: float
    """Share of the pixels of `image` that are more than one grey level off."""
    unequal_pixels: int
    """Pixels of `image` and `mask` that differ at all."""
    probability: float
    """The largest difference of a probability."""


def compare_classifier(found: ClassifierAnswers, expected: ClassifierAnswers) -> ClassifierDifference:
    """Count what differs; floats are compared bit by bit, so that nothing hides behind a tolerance."""
    return ClassifierDifference(
        images=len(found.hidden),
        hidden=_rows_that_differ(found.hidden, expected.hidden),
        logits=_rows_that_differ(found.logits.view(np.uint32), expected.logits.view(np.uint32)),
        labels=_labels_that_differ(found.probabilities, expected.probabilities),
        probability=_largest(found.probabilities, expected.probabilities),
    )


def compare_photos(found: PhotoAnswers, expected: PhotoAnswers) -> PhotoDifference:
    """Count what differs."""
    distance = np.abs(found.images.astype(int) - expected.images.astype(int))
    unequal = np.count_nonzero(distance) + np.count_nonzero(found.masks != expected.masks)
    return PhotoDifference(
        photos=len(found.images),
        labels=_labels_that_differ(found.probabilities, expected.probabilities),
        pixels=float(np.mean(distance > 1)),
        unequal_pixels=int(unequal),
        probability=_largest(found.probabilities, expected.probabilities),
    )


def broken_classifier_limits(difference: ClassifierDifference, promise: Promise) -> list[str]:
    """Return a sentence for each limit that a device's classifier does not hold."""
    broken = []
    if promise is Promise.BITS:
        for name, count in (("hidden layers", difference.hidden), ("logits", difference.logits)):
            if count:
                broken.append(f"{name} of {count} of {difference.images} images differ")
    if difference.labels:
        broken.append(f"labels of {difference.labels} of {difference.images} images differ")
    limit = MAX_DIFFERENCE.get(promise)
    if limit is not None and not difference.probability <= limit:
        broken.append(f"a probability differs by {difference.probability:.2g}, more than {limit:g}")
    return broken


def broken_photo_limits(difference: PhotoDifference) -> list[str]:
    """Return a sentence for each limit that a device's photo model does not hold."""
    broken = []
    if difference.labels:
        broken.append(f"labels of {difference.labels} of {difference.photos} photos differ")
    if difference.pixels > PHOTO_MAX_FAR_PIXELS:
        broken.append(f"{difference.pixels:.2%} of the pixels of `image` are more than one grey level off")
    if not difference.probability <= PHOTO_MAX_DIFFERENCE:
        broken.append(f"on a photo a probability differs by {difference.probability:.2g}")
    return broken


def _rows_that_differ(found: NDArray[np.generic], expected: NDArray[np.generic]) -> int:
    return int(np.count_nonzero((found != expected).any(axis=1)))


def _labels_that_differ(found: NDArray[np.float32], expected: NDArray[np.float32]) -> int:
    return int(np.count_nonzero(found.argmax(axis=1) != expected.argmax(axis=1)))


def _largest(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max())
