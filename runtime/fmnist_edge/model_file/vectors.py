"""Self-test vectors in memory: pictures, the answers that a device must reproduce, and how closely."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.contract import IMAGE_SIDE, LABELS
from fmnist_edge.errors import ModelError
from fmnist_edge.model_file.info import read_vectors, vectors_path


@dataclass(frozen=True)
class ClassifierVectors:
    """Images of the dataset with their expected answers."""

    model_sha256: str
    """Of the model file that gave the answers."""
    tolerance: float
    """What a probability may differ by."""
    images: NDArray[np.uint8]
    """uint8 [n, 28, 28], n at least 1."""
    probabilities: NDArray[np.float64]
    """float64 [n, 10]."""


@dataclass(frozen=True)
class PhotoVectors:
    """Photos with their expected answers and drawings."""

    model_sha256: str
    """Of the model file that gave the answers."""
    tolerance: float
    """What a probability may differ by."""
    levels: int
    """Grey levels that a pixel of the drawing may differ by."""
    share: float
    """The share of all drawings' pixels, 0..1, that must keep within `levels`."""
    photos: tuple[NDArray[np.uint8], ...]
    """uint8 [height, width, 3] each; at least one."""
    images: NDArray[np.uint8]
    """What the network saw: uint8 [n, 28, 28]."""
    probabilities: NDArray[np.float64]
    """float64 [n, 10]."""


Vectors = ClassifierVectors | PhotoVectors


def load_vectors(model: Path) -> Vectors:
    """Return the vectors beside a model file. Raises ModelError if they are missing or damaged."""
    facts = read_vectors(model)
    try:
        return _photo_vectors(facts) if "photos" in facts else _classifier_vectors(facts)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ModelError(
            f"the self-test vectors {vectors_path(model)} are damaged ({error!r}); convert again"
        ) from error


def _classifier_vectors(facts: dict[str, Any]) -> ClassifierVectors:
    entries = facts["images"]
    return ClassifierVectors(
        str(facts["model_sha256"]),
        float(facts["tolerance"]),
        square_images(b"".join(_bytes(entry["pixels"]) for entry in entries), len(entries)),
        expected_probabilities(entries),
    )


def _photo_vectors(facts: dict[str, Any]) -> PhotoVectors:
    entries, allowed = facts["photos"], facts["image_tolerance"]
    return PhotoVectors(
        str(facts["model_sha256"]),
        float(facts["tolerance"]),
        int(allowed["levels"]),
        float(allowed["share"]),
        tuple(_pixels(entry["png"]) for entry in entries),
        square_images(b"".join(_bytes(entry["image"]) for entry in entries), len(entries)),
        expected_probabilities(entries),
    )


def square_images(raw: bytes, count: int) -> NDArray[np.uint8]:
    """Return raw bytes as uint8 [count, 28, 28]. Raises ValueError if there are more or fewer."""
    return np.frombuffer(raw, np.uint8).reshape(count, IMAGE_SIDE, IMAGE_SIDE)


def expected_probabilities(entries: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Return the `probabilities` of some entries, float64 [n, 10]. Raises ValueError unless n is at least 1."""
    expected = np.array([entry["probabilities"] for entry in entries], np.float64)
    if expected.shape != (len(entries), len(LABELS)) or not entries:
        raise ValueError(f"expected probabilities of shape [n, 10], got {list(expected.shape)}")
    return expected


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _pixels(text: str) -> NDArray[np.uint8]:
    """Return a base64 PNG file as uint8 [height, width, 3]."""
    with PIL.Image.open(io.BytesIO(_bytes(text)), formats=["PNG"]) as picture:
        return np.asarray(picture.convert("RGB"))
