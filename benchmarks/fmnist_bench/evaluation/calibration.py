"""Whether a confidence means what it says, and how accuracy grows when the unsure are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_bench.evaluation.intervals import Share

BINS: Final = 15  # equal-width bins of confidence, as in Guo et al. 2017
COVERAGES: Final = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies in low..high."""

    low: float
    high: float
    images: int
    confidence: float | None
    """Mean confidence, 0..1; None for no images."""
    accuracy: float | None
    """Share that is right, 0..1; None for no images."""


@dataclass(frozen=True)
class Coverage:
    """What is left when answers below a threshold are called unsure."""

    coverage: float
    """Share of images at or above the threshold, 0..1."""
    min_confidence: float
    """The threshold, as for `classify --min-confidence`, 0..1."""
    right: Share
    """Of the images that are left."""


def calibration_bins(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Sort images into BINS bins by confidence, float64 [n] in 0..1; `right` is bool [n]."""
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    images = np.bincount(index, minlength=BINS)
    sums = (np.bincount(index, weights=values, minlength=BINS) for values in (confidence, right))
    means = [[float(s / n) if n else None for s, n in zip(column, images, strict=True)] for column in sums]
    return tuple(
        Bin(row / BINS, (row + 1) / BINS, int(images[row]), means[0][row], means[1][row]) for row in range(BINS)
    )


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean distance of confidence and accuracy over the images (Guo et al. 2017, eq. 3), 0..1."""
    gaps = (
        row.images * abs(row.confidence - row.accuracy)
        for row in bins
        if row.confidence is not None and row.accuracy is not None
    )
    return sum(gaps) / sum(row.images for row in bins)


def coverages(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Coverage, ...]:
    """Return, for each of COVERAGES, the accuracy of the images with the highest confidence (risk-coverage curve).

    The threshold is the least confidence among the wanted number of images; those that tie with it are kept, as
    `--min-confidence` would, so the coverage may come out higher. (Geifman and El-Yaniv 2017, "Selective
    classification for deep neural networks".)
    """
    falling = np.sort(confidence)[::-1]
    rows = []
    for wanted in COVERAGES:
        threshold = falling[max(1, round(wanted * len(falling))) - 1]
        kept = confidence >= threshold
        rows.append(Coverage(float(kept.mean()), float(threshold), Share.of(right[kept])))
    return tuple(rows)
