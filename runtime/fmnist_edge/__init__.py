"""fmnist-edge: classify images of clothes with a small int8 ONNX network.

    from fmnist_edge import Classifier
    Classifier().classify("shirt.png").label

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fmnist_edge.errors import DataError, FmnistEdgeError, ImageError, ModelError, UsageError

if TYPE_CHECKING:
    from fmnist_edge.classifier import Classifier, Prediction
    from fmnist_edge.model_info import LABELS

__all__ = [
    "LABELS",
    "Classifier",
    "DataError",
    "FmnistEdgeError",
    "ImageError",
    "ModelError",
    "Prediction",
    "UsageError",
    "__version__",
]

__version__ = "0.1.0"  # of the package; each model has a version of its own in its JSON

_LAZY = {
    "LABELS": "fmnist_edge.model_info",
    "Classifier": "fmnist_edge.classifier",
    "Prediction": "fmnist_edge.classifier",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
