"""Opening the Keras original: what it must look like to be converted, and what its training recorded."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import IMAGE_SIDE, LABELS, MASK_SIDE
from fmnist_edge.errors import ModelError
from fmnist_edge.model_file.keras_screening import screen_keras_file

RECORD_MEMBER: Final = "training.json"  # the training room puts its record into the .keras archive by this name


@dataclass(frozen=True)
class Original:
    """A Keras classifier ready for conversion."""

    model: Any
    """The loaded Keras model: uint8 [batch, 28, 28] to float32 [batch, 10]."""
    sha256: str
    """Of the .keras file."""
    record: dict[str, Any]
    """What training wrote into the file (recipe, seed, accuracies, ...); empty if it wrote nothing."""


def open_original(path: Path) -> Original:
    """Load the .keras file of a classifier or a photo head in safe mode and check its contract.

    Raises ModelError if it is missing, damaged, or no 28x28 uint8 classifier of ten classes.
    """
    original = _open(path)
    _check_contract(original.model, path)
    return original


def open_segmenter(path: Path) -> Original:
    """Load the .keras file of a segmenter in safe mode and check its contract.

    Raises ModelError if it is missing, damaged, or does not map [batch, 96, 96, 3] to [batch, 96, 96].
    """
    original = _open(path)
    found = (tuple(original.model.input_shape), tuple(original.model.output_shape))
    if found != ((None, MASK_SIDE, MASK_SIDE, 3), (None, MASK_SIDE, MASK_SIDE)):
        raise ModelError(f"{path} maps {list(found[0])} to {list(found[1])}; a segmenter maps 96x96 pixels to a mask")
    return original


def _open(path: Path) -> Original:
    """Load a .keras file; no code from the file is run."""
    if not path.is_file():
        raise ModelError(f"no model at {path}: train one with `fmnist-edge train -o DIR`")
    screen_keras_file(path)
    from fmnist_convert.backend import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types, depending on where the file is damaged
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path} is not a Keras model that can be loaded safely: {reason}") from error
    return Original(model, hashlib.sha256(path.read_bytes()).hexdigest(), read_record(path))


def read_record(path: Path) -> dict[str, Any]:
    """Return the training record inside a .keras archive, or an empty one for a file made elsewhere."""
    with zipfile.ZipFile(path) as archive:
        if RECORD_MEMBER not in archive.namelist():
            return {}
        record = json.loads(archive.read(RECORD_MEMBER))
    if not isinstance(record, dict):
        raise ModelError(f"the training record inside {path} should be one JSON object")
    return record


def predict_with_keras(model: Any, images: NDArray[np.uint8], batch: int = 1000) -> NDArray[np.float32]:
    """Return the model's probabilities, float32 [n, 10], for uint8 [n, 28, 28] images."""
    parts = [np.asarray(model(images[at : at + batch])) for at in range(0, len(images), batch)]
    return np.concatenate(parts) if parts else np.zeros((0, len(LABELS)), np.float32)


def _check_contract(model: Any, path: Path) -> None:
    found = (tuple(model.input_shape), tuple(model.output_shape), str(model.inputs[0].dtype))
    if found != ((None, IMAGE_SIDE, IMAGE_SIDE), (None, len(LABELS)), "uint8"):
        shapes = f"{found[2]} {list(found[0])} to {list(found[1])}"
        raise ModelError(
            f"{path} maps {shapes}, not uint8 [batch, 28, 28] to [batch, 10]; put the scaling into the model"
        )
