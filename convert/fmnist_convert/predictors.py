"""Any model file as a function from images to probabilities, so that files of both kinds can be compared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.original import open_original, predict_with_keras
from fmnist_edge.classifier import Classifier
from fmnist_edge.contract import INPUT_NAME, OUTPUT_NAME
from fmnist_edge.errors import ModelError
from fmnist_edge.session import open_session

Predictor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def open_predictor(path: Path) -> Predictor:
    """Return uint8 [n, 28, 28] -> float32 [n, 10] for a .keras or an .onnx file.

    An .onnx file runs by the runtime's own code path. Raises ModelError for any other or unusable file.
    """
    if path.suffix == ".keras":
        return partial(predict_with_keras, open_original(path).model)
    if path.suffix == ".onnx":
        return Classifier(path).predict
    raise ModelError(f"{path} is neither a .keras nor an .onnx file")


def open_unoptimized(path: Path) -> Predictor:
    """Return the same for an .onnx file with onnxruntime's graph optimizations off."""
    session = open_session(path, optimized=False)

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
        return probabilities

    return predict
