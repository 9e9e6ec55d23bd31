"""The answer for one input of many, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fmnist_edge.classifier import Prediction
from fmnist_edge.contract import UNSURE
from fmnist_edge.errors import ImageError

DEFAULT_TOP_K: Final = 3  # classes listed in a record: enough to see what the best one competed with
DECIMALS: Final = 4  # of a probability in a record; devices agree to far more than that


@dataclass(frozen=True)
class Result:
    """What became of one input: a prediction or an error, never both."""

    path: str
    """The input's path, "-" for standard input. Undecodable bytes are surrogate escapes."""
    prediction: Prediction | None = None
    """The answer, or None if there is an error."""
    error: ImageError | None = None
    """Why there is no answer."""

    def as_record(self, *, top_k: int = DEFAULT_TOP_K, min_confidence: float | None = None) -> dict[str, Any]:
        """Return plain values for JSON: path, label, index, confidence, top, error.

        Below `min_confidence` (0..1; None takes the prediction's own threshold) the label is `unsure`; the other
        fields stay those of the best class.
        """
        record: dict[str, Any] = {
            "path": self.path,
            "label": None,
            "index": None,
            "confidence": None,
            "top": [],
            "error": None,
        }
        if self.error:
            record["error"] = {"code": self.error.code, "message": str(self.error)}
        if self.prediction:
            record |= _answer(self.prediction, top_k, min_confidence)
        return record


def _answer(prediction: Prediction, top_k: int, min_confidence: float | None) -> dict[str, Any]:
    return {
        "label": shown_label(prediction, min_confidence),
        "index": prediction.index,
        "confidence": round(prediction.confidence, DECIMALS),
        "top": [
            {"label": prediction.labels[index], "index": index, "probability": round(probability, DECIMALS)}
            for index, probability in prediction.top(top_k)
        ],
    }


def shown_label(prediction: Prediction, min_confidence: float | None = None) -> str:
    """Return the label of the best class, or `unsure` if its probability is below the threshold.

    The threshold is `min_confidence` (0..1) or, where that is None, the prediction's own.
    """
    threshold = prediction.threshold if min_confidence is None else min_confidence
    return UNSURE if prediction.confidence < threshold else prediction.label
