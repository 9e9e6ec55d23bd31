"""How good probabilities are: accuracy, negative log-likelihood, expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 15  # equal-width bins of confidence, as in Guo et al. 2017


@dataclass(frozen=True)
class Scores:
    """Figures over one split."""

    accuracy: float
    """Share of images whose most probable label is right, 0..1."""
    negative_log_likelihood: float
    """Mean of -ln p(right label), in nats."""
    expected_calibration_error: float
    """Mean distance between confidence and accuracy over the bins, weighted by their images, 0..1."""


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln softmax of logits, float64 [n, 10]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def score(logits: NDArray[np.float64], labels: NDArray[np.uint8]) -> Scores:
    """Score logits, float64 [n, 10], against labels, uint8 [n]."""
    log_probabilities = log_softmax(logits)
    right = logits.argmax(axis=1) == labels
    confidence = np.exp(log_probabilities.max(axis=1))
    return Scores(
        accuracy=float(right.mean()),
        negative_log_likelihood=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        expected_calibration_error=calibration_error(confidence, right),
    )


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error (Guo et al. 2017, eq. 3) of confidences, float64 [n] in 0..1."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))
