"""What is to be kept by quantization: the label, and so the gap between the two best logits where it is small."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.network import Float64

# An image weighs exp(-gap / GAP_SCALE), the gap being that of its two best logits. Tried on one training, with the
# labels changed on the 33,000 choice images: no weights 67, 2 for the last layer alone 58, 2 for both 57, 1 for both
# 52 (with more error elsewhere).
GAP_SCALE: Final = 2.0


def two_best(logits: Float64) -> NDArray[np.intp]:
    """Return the best and the second class of each row of logits [n, 10]: intp [n, 2]."""
    return np.argsort(-logits, axis=1)[:, :2]


def ambiguity(logits: Float64) -> Float64:
    """Return how much each image counts, float64 [n] in 0..1: much where its two best logits [n, 10] are close."""
    ordered = np.sort(logits, axis=1)
    return np.asarray(np.exp((ordered[:, -2] - ordered[:, -1]) / GAP_SCALE), np.float64)


def gap_error(logits: NDArray[np.floating], target: Float64) -> float:
    """Return the weighted mean squared change of the gap between the two best target logits, [n, 10] each."""
    best = two_best(target)
    gaps = [np.take_along_axis(values, best, axis=1) @ [1.0, -1.0] for values in (logits, target)]
    return float(np.average((gaps[0] - gaps[1]) ** 2, weights=ambiguity(target)))
