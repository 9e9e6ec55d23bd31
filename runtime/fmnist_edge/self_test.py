"""The self-test: pictures with known answers, run on this device."""

from __future__ import annotations

import base64
import io
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.classifier import Classifier, PhotoModel
from fmnist_edge.contract import IMAGE_SIDE, LABELS
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, read_vectors, sha256_of, vectors_path


@dataclass(frozen=True)
class SelfTest(ABC):
    """What the self-test of a model found on this device."""

    model: str
    images: int
    """How many vectors were run."""
    same_file: bool
    """Whether the model's SHA-256 is the one that the vectors were made with."""
    different_labels: int
    """How many best classes differ from the expected ones."""
    max_difference: float
    """The largest absolute difference of any probability from the expected one."""
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
            (self.different_labels == 0, f"{self.images} {self.pictures()}: {self.different_labels} labels differ"),
            (
                self.max_difference <= self.tolerance,
                f"largest difference of a probability {self.max_difference:.2g} (at most {self.tolerance:.0g})",
            ),
            self.last_finding(),
        ]

    @abstractmethod
    def pictures(self) -> str:
        """Return what was run, in the plural."""

    @abstractmethod
    def last_finding(self) -> tuple[bool, str]:
        """Return the check that only this kind of model has."""

    def as_facts(self) -> dict[str, Any]:
        """Return all fields and the verdict, ready for JSON."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True)
class ClassifierSelfTest(SelfTest):
    """Of a classifier: each image was run alone and all in one batch."""

    batch_equal: bool
    """Whether each image gets the same bits alone as in the batch."""

    def pictures(self) -> str:
        """Return what was run."""
        return "images"

    def last_finding(self) -> tuple[bool, str]:
        """Return whether the batch matters."""
        return self.batch_equal, f"alone and in a batch: {'equal' if self.batch_equal else 'not equal'} to the bit"


@dataclass(frozen=True)
class PhotoSelfTest(SelfTest):
    """Of a photo model: the drawings are compared, too."""

    far_pixels: int
    """How many pixels of the 28x28 drawings are further off than allowed."""
    levels: int
    """The grey levels that a pixel may be off."""
    far_allowed: int
    """How many pixels may be further off."""

    def pictures(self) -> str:
        """Return what was run."""
        return "photos"

    def last_finding(self) -> tuple[bool, str]:
        """Return whether the drawings are those expected."""
        line = f"drawings: {self.far_pixels} pixels off by more than {self.levels} level (at most {self.far_allowed})"
        return self.far_pixels <= self.far_allowed, line


def run_self_test(model: Path | None = None) -> SelfTest:
    """Run the vectors that lie beside a model file (the embedded classifier by default).

    Raises ModelError if the model or its vectors are missing or damaged.
    """
    path = model or EMBEDDED_CLASSIFIER
    return check_model(path, load_vectors(path))


def check_model(model: Path, vectors: Vectors) -> SelfTest:
    """Run vectors from anywhere. Raises ModelError if the model is missing, damaged, or of the other kind."""
    if isinstance(vectors, PhotoVectors):
        return _test_photo_model(model, vectors)
    return _test_classifier(model, vectors)


def _test_classifier(model: Path, vectors: ClassifierVectors) -> ClassifierSelfTest:
    classifier = Classifier(model, route="dataset")
    together = classifier.predict(vectors.images)
    alone = np.concatenate([classifier.predict(image[None]) for image in vectors.images])
    both, expected = np.concatenate([together, alone]), np.concatenate([vectors.probabilities] * 2)
    return ClassifierSelfTest(
        model=model.name,
        images=len(vectors.images),
        same_file=sha256_of(model) == vectors.model_sha256,
        different_labels=int(np.sum(both.argmax(axis=1) != expected.argmax(axis=1))),
        max_difference=float(np.abs(both.astype(np.float64) - expected).max()),
        tolerance=vectors.tolerance,
        batch_equal=bool(np.array_equal(together, alone)),
    )


def _test_photo_model(model: Path, vectors: PhotoVectors) -> PhotoSelfTest:
    photo_model = PhotoModel(model)
    answers = [photo_model.classify(photo) for photo in vectors.photos]
    found = np.stack([answer.probabilities for answer in answers]).astype(np.float64)
    off = np.abs(np.stack([np.asarray(answer.image, np.int16) for answer in answers]) - vectors.images)
    return PhotoSelfTest(
        model=model.name,
        images=len(answers),
        same_file=sha256_of(model) == vectors.model_sha256,
        different_labels=int(np.sum(found.argmax(axis=1) != vectors.probabilities.argmax(axis=1))),
        max_difference=float(np.abs(found - vectors.probabilities).max()),
        tolerance=vectors.tolerance,
        far_pixels=int(np.sum(off > vectors.levels)),
        levels=vectors.levels,
        far_allowed=int((1 - vectors.share) * off.size),
    )


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
