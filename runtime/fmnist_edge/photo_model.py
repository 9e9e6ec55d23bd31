"""The photo model: one file that finds the garment in a photo, draws it as the dataset's authors did, and names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import INPUT_NAME, LABELS, MASK_NAME, OUTPUT_NAME, PHOTO_MAX_SIDE, PHOTO_NAME
from fmnist_edge.errors import ImageError, ModelError
from fmnist_edge.model_file.info import EMBEDDED_PHOTO_MODEL
from fmnist_edge.model_file.session import facts_of, kind_of, open_session
from fmnist_edge.prediction import Prediction


class PhotoModel:
    """Classifies photos with an .onnx file that keeps the photo contract. Safe to share between threads."""

    def __init__(self, model: Path = EMBEDDED_PHOTO_MODEL, *, threads: int = 1) -> None:
        """Open `model` with `threads` onnxruntime threads. Raises ModelError if it is no photo model."""
        self._session = open_session(model, threads=threads)
        if kind_of(self._session) != "photo":
            raise ModelError(f"{model} is a classifier of 28x28 images, not a photo model")
        self.threshold = float(facts_of(self._session).get("unsure_below", 0.0))

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
        outputs = self._session.run([OUTPUT_NAME, INPUT_NAME, MASK_NAME], {PHOTO_NAME: photo})
        return Prediction(outputs[0][0], LABELS, outputs[1], outputs[2], self.threshold)
