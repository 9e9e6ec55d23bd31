"""Self-test vectors: real images with the probabilities that a device must reproduce."""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import Split

SCHEMA: Final = 1
PER_CLASS: Final = 2
# Devices agree on the integers to the bit; their exp() differs in the last places (measured: 2.4e-7 at most).
TOLERANCE: Final = 1e-6
SOURCE: Final = "Fashion-MNIST test split, Copyright (c) 2017 Zalando SE, MIT licence"


def choose_vectors(labels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the indices of the first two images of each class, 20 in all, sorted (never by their answer)."""
    chosen = [np.flatnonzero(labels == label)[:PER_CLASS] for label in range(len(LABELS))]
    return np.sort(np.concatenate(chosen))


def build_vectors(sha256: str, test: Split, probabilities: NDArray[np.float32]) -> dict[str, Any]:
    """Return the vectors as JSON-ready facts; `probabilities` are float32 [10000, 10] of the test split."""
    return {
        "schema": SCHEMA,
        "model_sha256": sha256,
        "source": SOURCE,
        "tolerance": TOLERANCE,
        "images": [
            {
                "index": int(index),
                "label": int(test.labels[index]),
                "pixels": base64.b64encode(test.images[index].tobytes()).decode("ascii"),
                "probabilities": [float(f"{value:.9g}") for value in probabilities[index]],
            }
            for index in choose_vectors(test.labels)
        ],
    }
