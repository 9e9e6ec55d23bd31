"""Temperature and threshold of the photo head, from pictures that it was not fitted on."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_train.scores import log_softmax

TEMPERATURES: Final = np.geomspace(0.4, 2.5, 64)  # tried; neighbours differ by 3 %, which no figure here resolves
ANSWERS_RIGHT: Final = 0.9  # of the garments that get an answer, this share shall be right
NEGATIVES_UNSURE: Final = 0.85  # of negatives shall get none; the project's bound is 0.80


def fit_allowed_temperature(logits: NDArray[np.float64], allowed: NDArray[np.bool_]) -> float:
    """Return the temperature with the least negative log-likelihood (Guo et al. 2017), right labels summed.

    Logits, float64 [n, 10], and right labels, bool [n, 10], are of the same n pictures.
    """

    def cost(temperature: float) -> float:
        right = np.where(allowed, np.exp(log_softmax(logits / temperature)), 0).sum(1)
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    return float(min(TEMPERATURES, key=cost))


def unsure_below(confidence: NDArray[np.float64], right: NDArray[np.bool_], negatives: NDArray[np.float64]) -> float:
    """Return the confidence below which an answer is `unsure`.

    The lowest at which enough of the garments' answers are right, or more if too many negatives would reach it.
    `confidence`, float64 [n], and `right`, bool [n], are those of n garments, `negatives`, float64 [m], the
    confidences of what is no garment. Where no threshold is enough, it is the garments' highest confidence.
    """
    order = np.argsort(-confidence, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.nonzero(shares >= ANSWERS_RIGHT)[0]
    lowest = confidence[order[enough[-1] if len(enough) else 0]]
    return float(max(lowest, np.quantile(negatives, NEGATIVES_UNSURE)))
