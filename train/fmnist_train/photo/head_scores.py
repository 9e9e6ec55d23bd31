"""How well a photo head does: figures over pictures whose right labels are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FORGIVEN: Final = (0, 2, 6)  # T-shirt, pullover and shirt, taken as one
DIGITS: Final = 4


def figures(
    probabilities: NDArray[np.float64], allowed: NDArray[np.bool_], classes: NDArray[np.str_], threshold: float
) -> dict[str, Any]:
    """Return the record's figures of probabilities, float64 [n, 10], given right labels [n, 10] and classes [n]."""
    best, confidence = probabilities.argmax(1), probabilities.max(1)
    right = allowed[np.arange(len(best)), best]
    forgiven = right | (np.isin(best, FORGIVEN) & allowed[:, FORGIVEN].any(1))
    surer = np.argsort(-confidence, kind="stable")[: len(best) // 2]
    answered = confidence >= threshold
    return {
        "pictures": len(best),
        "accuracy": _share(right),
        "accuracy_of_surer_half": _share(right[surer]),
        "forgiven": _share(forgiven),
        "answered": _share(answered),
        "accuracy_of_answered": _share(right[answered]),
        "classes": {str(name): _share(right[classes == name]) for name in np.unique(classes)},
    }


def unsure_shares(confidence: NDArray[np.float64], kinds: Sequence[str], threshold: float) -> Mapping[str, float]:
    """Return the share of negatives that get no answer, of all and of each kind, by their confidences [n]."""
    unsure, names = confidence < threshold, np.array(kinds)
    return {"all": _share(unsure)} | {str(kind): _share(unsure[names == kind]) for kind in np.unique(names)}


def _share(true: NDArray[np.bool_]) -> float:
    return round(float(true.mean()), DIGITS) if true.size else 0.0
