"""Probabilities that mean what they say: scores, one temperature, and the confidence below which an answer is unsure.

Temperature scaling (Guo et al. 2017) divides the logits by T, fitted on images that are not trained on. Dividing the
last layer's kernel and bias by T does the same, so that every form of the model shares it and no label changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.model_info import OUTPUT_NAME
from fmnist_train.backend import keras

BINS: Final = 15  # equal-width bins of confidence, as in Guo et al. 2017
LIMITS: Final = (0.05, 20.0)  # T is sought between these; a trained network's lies near 1
STEPS: Final = 60  # bisections: the interval of ln T shrinks from 6 to below 1e-16
PARTIAL_LIMITS: Final = (0.25, 4.0)  # the same for partial labels


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


def logits_of(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what the network's softmax is given, float64 [n, 10], for uint8 [n, 28, 28] images.

    The float32 hidden activations are taken from the model; the last layer is computed in float64.
    """
    last = model.get_layer(OUTPUT_NAME)
    hidden = keras.Model(model.inputs, last.input).predict(images, batch_size=1000, verbose=0)
    kernel, bias = (np.asarray(weight, dtype=np.float64) for weight in last.get_weights())
    return np.asarray(hidden, dtype=np.float64) @ kernel + bias


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.uint8]) -> float:
    """Return the T that minimizes the negative log-likelihood of logits / T.

    In b = 1 / T the likelihood is convex: its slope is mean(E[logit] - logit of the right label), which
    bisection on ln T brings to 0.
    """
    right = logits[np.arange(len(labels)), labels]
    low, high = np.log(LIMITS[0]), np.log(LIMITS[1])
    for _ in range(STEPS):
        middle = (low + high) / 2
        expected = (np.exp(log_softmax(logits / np.exp(middle))) * logits).sum(axis=1)
        if (expected - right).mean() > 0:  # too sure of itself: T must grow
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def fold_temperature(model: Any, temperature: float) -> None:
    """Divide the last layer's kernel and bias by the temperature, in place."""
    last = model.get_layer(OUTPUT_NAME)
    last.set_weights([np.float32(weight / np.float64(temperature)) for weight in last.get_weights()])


def fit_partial_temperature(logits: NDArray[np.float64], accepted: NDArray[np.float32]) -> float:
    """Return the T that minimizes the mean of -ln of the summed softmax(logits / T) of the accepted classes.

    `accepted` is 0 or 1, [n, 10], no row of it all 0. The likelihood of sums is not convex, so T is tried at STEPS
    values of equal ratio.
    """
    candidates = np.geomspace(*PARTIAL_LIMITS, STEPS)
    chosen = np.where(accepted > 0, 0.0, -np.inf)
    losses = [-np.logaddexp.reduce(log_softmax(logits / one) + chosen, axis=1).mean() for one in candidates]
    return float(candidates[int(np.argmin(losses))])


def confidence_for(share: float, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the lowest confidence from which on at least `share` (0..1) of the answers are right.

    Equal confidences are answered together. Returns 1.0 where no threshold is good enough.
    """
    order = np.argsort(-confidence, kind="stable")
    good = np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= share
    last_of_equals = np.append(np.diff(confidence[order]) != 0, True)
    found = np.flatnonzero(good & last_of_equals)
    return float(confidence[order][found[-1]]) if len(found) else 1.0
