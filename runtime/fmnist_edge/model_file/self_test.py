"""The self-test: real images with known answers, run on this device."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.classifier import Classifier
from fmnist_edge.contract import IMAGE_SIDE, LABELS
from fmnist_edge.errors import ModelError
from fmnist_edge.model_file.info import EMBEDDED_CLASSIFIER, read_vectors, sha256_of


@dataclass(frozen=True)
class SelfTest:
    """What the self-test found on this device."""

    model: str
    images: int
    """How many vectors were run, each alone and all in one batch."""
    same_file: bool
    """Whether the model's SHA-256 is the one that the vectors were made with."""
    different_labels: int
    """How many best classes differ from the expected ones, of both ways to run."""
    max_difference: float
    """The largest absolute difference of any probability from the expected one."""
    batch_equal: bool
    """Whether each image gets the same bits alone as in the batch."""
    tolerance: float
    """What `max_difference` may be."""

    @property
    def passed(self) -> bool:
        """Whether this device reproduces the measured answers."""
        return all(passed for passed, _ in self.findings())

    def findings(self) -> list[tuple[bool, str]]:
        """Return each check as (held, what it found)."""
        return [
            (self.same_file, f"{self.model}: SHA-256 {'as' if self.same_file else 'not as'} recorded"),
            (self.different_labels == 0, f"{self.images} images: {self.different_labels} labels differ"),
            (
                self.max_difference <= self.tolerance,
                f"largest difference of a probability {self.max_difference:.2g} (at most {self.tolerance:.0g})",
            ),
            (
                self.batch_equal,
                f"alone and in a batch: {'equal' if self.batch_equal else 'not equal'} to the bit",
            ),
        ]

    def as_facts(self) -> dict[str, Any]:
        """Return all fields and the verdict, ready for JSON."""
        return {**asdict(self), "passed": self.passed}


def run_self_test(model: Path | None = None) -> SelfTest:
    """Run the vectors that lie beside a model file (the embedded one by default).

    Raises ModelError if the model or its vectors are missing or damaged.
    """
    path = model or EMBEDDED_CLASSIFIER
    classifier = Classifier(path)
    vectors = read_vectors(path)
    try:
        images, expected = _decode(vectors)
        recorded, tolerance = str(vectors["model_sha256"]), float(vectors["tolerance"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the self-test vectors beside {path} are damaged ({error!r}); convert again") from error
    together = classifier.predict(images)
    alone = np.concatenate([classifier.predict(image[None]) for image in images])
    both, expected_both = np.concatenate([together, alone]), np.concatenate([expected, expected])
    return SelfTest(
        model=path.name,
        images=len(images),
        same_file=sha256_of(path) == recorded,
        different_labels=int(np.sum(both.argmax(axis=1) != expected_both.argmax(axis=1))),
        max_difference=float(np.abs(both.astype(np.float64) - expected_both).max()),
        batch_equal=bool(np.array_equal(together, alone)),
        tolerance=tolerance,
    )


def _decode(vectors: dict[str, Any]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return images, uint8 [n, 28, 28], and expected probabilities, float64 [n, 10], with n at least 1."""
    entries = vectors["images"]
    raw = b"".join(base64.b64decode(entry["pixels"], validate=True) for entry in entries)
    images = np.frombuffer(raw, np.uint8).reshape(len(entries), IMAGE_SIDE, IMAGE_SIDE)
    expected = np.array([entry["probabilities"] for entry in entries], np.float64)
    if expected.shape != (len(entries), len(LABELS)) or not entries:
        raise ValueError(f"expected probabilities of shape [n, 10], got {list(expected.shape)}")
    return images, expected
