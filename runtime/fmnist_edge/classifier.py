"""The classifier: one onnxruntime session behind a small, checked interface."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME
from fmnist_edge.errors import ImageError
from fmnist_edge.images import ImageSource, load_image
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER
from fmnist_edge.prediction import Prediction
from fmnist_edge.session import open_session


class Classifier:
    """Classifies images with an .onnx file that keeps the classifier contract.

    Safe to share between threads; pickles as its path, so every process makes a session of its own.
    """

    def __init__(self, model: str | os.PathLike[str] | None = None, *, threads: int = 1) -> None:
        """Open `model` (the embedded one by default) with `threads` onnxruntime threads.

        Raises ModelError if the file is missing, is no ONNX model, or breaks the contract.
        """
        self.path = Path(model) if model is not None else EMBEDDED_CLASSIFIER
        self.threads = threads
        self.labels: tuple[str, ...] = LABELS
        self._session = open_session(self.path, threads=threads)
        self._outputs = [OUTPUT_NAME]

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities, float32 [n, 10], for uint8 [n, 28, 28] images as in the dataset.

        0 is the black ground, 255 the brightest garment. Raises ImageError for any other dtype or shape.
        """
        if (
            not isinstance(images, np.ndarray)
            or images.dtype != np.uint8
            or images.ndim != 3
            or images.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE)
        ):
            raise _wrong_array(images)
        probabilities: NDArray[np.float32] = self._session.run(self._outputs, {INPUT_NAME: images})[0]
        return probabilities

    def classify(self, image: ImageSource) -> Prediction:
        """Classify one image: a path, the bytes of an image file, a PIL image, or an array.

        Arrays are uint8 [height, width] grey or [height, width, 3] RGB, 0..255.
        Raises ImageError if it cannot be read or is no picture.
        """
        loaded = load_image(image)
        return Prediction(self.predict(loaded[None])[0], self.labels, loaded)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (self.path, self.threads))

    def __repr__(self) -> str:
        return f"Classifier({str(self.path)!r}, threads={self.threads})"


def _reopen(path: Path, threads: int) -> Classifier:
    return Classifier(path, threads=threads)


def _wrong_array(images: object) -> ImageError:
    """Say what is wrong with an array and how to mend it."""
    if not isinstance(images, np.ndarray):
        return ImageError("wrong-type", f"expected a numpy array, got {type(images).__name__}")
    if images.ndim == 2 and images.shape == (IMAGE_SIDE, IMAGE_SIDE):
        hint = "add a batch dimension: images[None]"
    elif images.ndim == 4 and images.shape[1:] == (IMAGE_SIDE, IMAGE_SIDE, 1):
        hint = "drop the channel dimension: images[..., 0]"
    elif images.dtype != np.uint8 and np.issubdtype(images.dtype, np.floating):
        hint = "pass grey levels 0..255 as uint8, (images * 255).astype(numpy.uint8) if yours lie in 0..1; the model scales"
    elif images.dtype != np.uint8:
        hint = "convert with images.astype(numpy.uint8) if the values lie in 0..255"
    else:
        hint = "fit the images to 28x28 first, or use classify()"
    return ImageError("wrong-array", f"expected uint8 [n, 28, 28], got {images.dtype} {list(images.shape)}; {hint}")
