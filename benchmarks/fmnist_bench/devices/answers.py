"""What came out of a device: raw bytes, read back as arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.integer_mlp import IntegerMlp
from fmnist_edge.contract import IMAGE_SIDE, LABELS, MASK_SIDE


class IncompleteError(Exception):
    """A device wrote fewer or more answers than it was given images."""


@dataclass(frozen=True)
class ClassifierAnswers:
    """The classifier's outputs on n images."""

    hidden: NDArray[np.uint8]
    """uint8 [n, units]"""
    logits: NDArray[np.float32]
    """float32 [n, 10]"""
    probabilities: NDArray[np.float32]
    """float32 [n, 10]"""


@dataclass(frozen=True)
class PhotoAnswers:
    """The photo model's outputs on n photos."""

    probabilities: NDArray[np.float32]
    """float32 [n, 10]"""
    images: NDArray[np.uint8]
    """uint8 [n, 28, 28]"""
    masks: NDArray[np.uint8]
    """uint8 [n, 96, 96]"""


def expected_answers(network: IntegerMlp, images: NDArray[np.uint8]) -> ClassifierAnswers:
    """Return what plain numpy integers give for uint8 [n, 28, 28] images; the softmax is of float64."""
    logits = network.logits(images)
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return ClassifierAnswers(network.hidden(images), logits, probabilities.astype(np.float32))


def read_report(folder: Path) -> dict[str, Any]:
    """Return what the device's program told of itself: runtime, host, CPU features, times."""
    report: dict[str, Any] = json.loads((folder / "answers.json").read_text())
    return report


def read_classifier(folder: Path, count: int, units: int) -> ClassifierAnswers:
    """Read the answers to `count` images. Raises IncompleteError if there are not so many."""
    return ClassifierAnswers(
        _read(folder / "hidden_quantized", np.uint8, (count, units)),
        _read(folder / "logits", np.float32, (count, len(LABELS))),
        _read(folder / "probabilities", np.float32, (count, len(LABELS))),
    )


def read_photos(folder: Path, count: int) -> PhotoAnswers:
    """Read the answers to `count` photos. Raises IncompleteError if there are not so many."""
    return PhotoAnswers(
        _read(folder / "probabilities", np.float32, (count, len(LABELS))),
        _read(folder / "image", np.uint8, (count, IMAGE_SIDE, IMAGE_SIDE)),
        _read(folder / "mask", np.uint8, (count, MASK_SIDE, MASK_SIDE)),
    )


def _read(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    values = np.fromfile(path, np.dtype(kind).newbyteorder("<"))
    if values.size != int(np.prod(shape)):
        raise IncompleteError(f"{path.parent.name}/{path.name} has {values.size} values, not {int(np.prod(shape))}")
    return values.reshape(shape)
