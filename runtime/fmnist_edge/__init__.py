"""fmnist-edge: classify images of clothes with a small int8 ONNX network.

    from fmnist_edge import Classifier
    Classifier().classify("shirt.png").label

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fmnist_edge.contract import LABELS
from fmnist_edge.errors import DataError, FmnistEdgeError, ImageError, ModelError
from fmnist_edge.version import __version__

if TYPE_CHECKING:
    from fmnist_edge.classifier import Classifier
    from fmnist_edge.prediction import Prediction

__all__ = [
    "LABELS",
    "Classifier",
    "DataError",
    "FmnistEdgeError",
    "ImageError",
    "ModelError",
    "Prediction",
    "__version__",
]

_LAZY = {"Classifier": "fmnist_edge.classifier", "Prediction": "fmnist_edge.prediction"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
