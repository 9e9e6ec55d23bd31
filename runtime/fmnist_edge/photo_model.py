"""The photo model: one file that finds the garment in a photo, draws it as the dataset's authors did, and names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import INPUT_NAME, LABELS, MASK_NAME, OUTPUT_NAME, PHOTO_MAX_SIDE, PHOTO_NAME
from fmnist_edge.errors import ImageError, ModelError
from fmnist_edge.model_file.info import EMBEDDED_PHOTO_MODEL
from fmnist_edge.model_file.session import facts_of, failed_run, kind_of, open_session
from fmnist_edge.prediction import Prediction


class PhotoModel:
    """Classifies photos with an .onnx file that keeps the photo contract. Safe to share between threads."""

    def __init__(self, model: Path = EMBEDDED_PHOTO_MODEL, *, threads: int = 1, session: Any = None) -> None:
        """Open `model` with `threads` onnxruntime threads, or take its `session` if it is open.

        Raises ModelError if it is no photo model.
        """
        self._path = model
        self._session = open_session(model, threads=threads) if session is None else session
        if kind_of(self._session) != "photo":
            raise ModelError(f"{model} is a classifier of 28x28 images, not a photo model")
        self.threshold = _threshold(facts_of(self._session).get("unsure_below", 0.0), model)

    def classify(self, photo: NDArray[np.uint8]) -> Prediction:
        """Classify a photo, uint8 [height, width, 3] RGB, 0..255, with sides of 1..1024 pixels.

        Raises ImageError for any other dtype or shape.
        """
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
            found = f"{photo.dtype} {list(photo.shape)}"
            raise ImageError("wrong-array", f"expected a photo as uint8 [height, width, 3], got {found}")
        if max(photo.shape) > PHOTO_MAX_SIDE:
            limit = f"reduce its long side to {PHOTO_MAX_SIDE} pixels or fewer"
            raise ImageError("too-large", f"a photo of {photo.shape[1]}x{photo.shape[0]}: {limit}")
        try:
            outputs = self._session.run([OUTPUT_NAME, INPUT_NAME, MASK_NAME], {PHOTO_NAME: photo})
        except Exception as error:
            raise failed_run(self._path, error) from error
        return Prediction(outputs[0][0], LABELS, outputs[1], outputs[2], self.threshold)


def _threshold(value: object, model: Path) -> float:
    """Return the confidence below which answers are unsure, as the model's metadata have it."""
    if isinstance(value, (int, float)) and 0 <= value <= 1:
        return float(value)
    raise ModelError(f"{model} does not keep the contract: unsure_below is {value!r}, no number in 0..1")
