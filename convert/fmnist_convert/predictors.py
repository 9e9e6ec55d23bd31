"""Any model file as a function from images to probabilities, so that files of both kinds can be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.input_form import with_measured_form
from fmnist_convert.original import open_original
from fmnist_edge.contract import INPUT_NAME, OUTPUT_NAME
from fmnist_edge.dataset import load_split
from fmnist_edge.session import open_session

Predictor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def open_predictor(path: Path) -> Predictor:
    """Return uint8 [n, 28, 28] -> float32 [n, 10] for any model file.

    An .onnx file of this project runs by the runtime's own code path. Raises ModelError for an unusable file.
    """
    original = open_original(path)
    if original.form is None:
        original, _ = with_measured_form(original, load_split("train"))
    return original.predict


def open_unoptimized(path: Path) -> Predictor:
    """Return the same for an .onnx file with onnxruntime's graph optimizations off."""
    session = open_session(path, optimized=False)

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
        return probabilities

    return predict
