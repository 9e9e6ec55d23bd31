"""Temperature and threshold of the photo head, from pictures that it was not fitted on."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_train.scores import log_softmax

TEMPERATURES: Final = np.geomspace(0.4, 2.5, 64)  # tried; neighbours differ by 3 %, which no figure here resolves
SURER_SHARE: Final = 0.5  # of garments that shall get an answer at least, the surest first
NEGATIVES_UNSURE: Final = 0.85  # of negatives shall get none; the project's bound is 0.80


def fit_allowed_temperature(logits: NDArray[np.float64], allowed: NDArray[np.bool_]) -> float:
    """Return the temperature with the least negative log-likelihood (Guo et al. 2017), right labels summed.

    Logits, float64 [n, 10], and right labels, bool [n, 10], are of the same n pictures.
    """

    def cost(temperature: float) -> float:
        right = np.where(allowed, np.exp(log_softmax(logits / temperature)), 0).sum(1)
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    return float(min(TEMPERATURES, key=cost))


def unsure_below(garments: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Return the confidence below which an answer is `unsure`, from confidences of garments and of negatives.

    The one that the surer half of the garments reaches, or more if too many negatives would reach it.
    """
    return float(max(np.quantile(garments, 1 - SURER_SHARE), np.quantile(negatives, NEGATIVES_UNSURE)))
