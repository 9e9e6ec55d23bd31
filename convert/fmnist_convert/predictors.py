"""The answers of any model file to a split of the dataset, so that files of all kinds can be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.input_form import with_measured_form
from fmnist_convert.original import Original, open_original
from fmnist_convert.progress import SILENT, Progress
from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import SplitName, load_split
from fmnist_edge.errors import ModelError

BATCH: Final = 500  # images between two counts

Predictor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 [n, 28, 28] to float32 [n, 10]."""


def open_predictor(path: Path, data: Path | None = None) -> Predictor:
    """Return what a model file answers as a function of images; its input form is measured where it is not known.

    An .onnx file that `convert` wrote runs as on a device. Raises ModelError, DataError.
    """
    return _ready(open_original(path), data).predict


def predict_split(
    path: Path, split: SplitName, data: Path | None = None, progress: Progress = SILENT
) -> tuple[NDArray[np.float32], str, NDArray[np.uint8]]:
    """Return a model's probabilities on a split, float32 [n, 10], its input form, and the true labels, uint8 [n].

    Raises ModelError, DataError.
    """
    images = load_split(split, data)
    progress.step(f"loading {path.name}")
    original = _ready(open_original(path), data)
    progress.step(f"running {path.name} on {len(images.labels):,} images")
    parts = [np.zeros((0, len(LABELS)), np.float32)]
    for at in range(0, len(images.labels), BATCH):
        parts.append(original.predict(images.images[at : at + BATCH]))
        progress.count(min(at + BATCH, len(images.labels)), len(images.labels))
    assert original.form is not None
    return np.concatenate(parts), original.form.name, images.labels


def _ready(original: Original, data: Path | None) -> Original:
    if original.is_photo:
        raise ModelError(
            f"{original.path} is a model for photos; only classifiers of the dataset's images compare here"
        )
    if original.form is not None:
        return original
    return with_measured_form(original, load_split("train", data))[0]
