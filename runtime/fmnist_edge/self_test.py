"""The self-test: pictures with known answers (vectors), run on this device."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.classifier import Classifier
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import (
    EMBEDDED_CLASSIFIER,
    IMAGE_SIDE,
    LABELS,
    MODELS,
    OUTPUT_NAME,
    PHOTO_NAME,
    SAW_NAME,
    read_vectors,
    sha256_of,
    vectors_path,
)
from fmnist_edge.onnx_reader import model_bytes
from fmnist_edge.session import failed_run, kind_of, open_session


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
    """Photos with their expected answers."""

    model_sha256: str
    """Of the model file that gave the answers."""
    tolerance: float
    """What a probability may differ by."""
    photos: tuple[NDArray[np.uint8], ...]
    """uint8 [height, width, 3] each; at least one."""
    probabilities: NDArray[np.float64]
    """float64 [n, 10]."""
    saws: tuple[NDArray[np.float64], ...] = ()
    """The class activation maps of the answers: float64 [rows, columns] each, 0..1; none if they aren't compared."""
    saw_tolerance: float = 0.0
    """What any point of these may differ by."""


Vectors = ClassifierVectors | PhotoVectors


@dataclass(frozen=True)
class SelfTest:
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
    batch_equal: bool | None = None
    """Of a dataset classifier: whether each image gets the same bits alone as in a batch of all."""
    saw_difference: float | None = None
    """Of a photo model whose vectors have maps: the largest difference of any point; infinite for other sizes."""
    saw_tolerance: float | None = None
    """What `saw_difference` may be."""

    @property
    def passed(self) -> bool:
        """Whether this device reproduces the measured answers."""
        return all(passed for passed, _ in self.findings())

    def findings(self) -> list[tuple[bool, str]]:
        """Return each check as (held, what it found)."""
        unit = "photos" if self.batch_equal is None else "images"
        probability = f"largest difference of a probability {self.max_difference:.2g} (at most {self.tolerance:.0g})"
        found = [
            (self.same_file, f"{self.model}: SHA-256 {'as' if self.same_file else 'not as'} recorded"),
            (self.different_labels == 0, f"{self.images} {unit}: {self.different_labels} labels differ"),
            (self.max_difference <= self.tolerance, probability),
        ]
        if self.batch_equal is not None:
            equal = "equal" if self.batch_equal else "not equal"
            found.append((self.batch_equal, f"alone and in a batch: {equal} to the bit"))
        if self.saw_difference is not None and self.saw_tolerance is not None:
            figures = f"largest difference {self.saw_difference:.2g} (at most {self.saw_tolerance:.2g})"
            found.append((self.saw_difference <= self.saw_tolerance, f"maps of what was seen: {figures}"))
        return found

    def as_record(self) -> dict[str, Any]:
        """Return the verdict and all fields that the model's kind has, ready for JSON."""
        return {key: value for key, value in asdict(self).items() if value is not None} | {"passed": self.passed}


def run_self_test(model: Path | None = None) -> SelfTest:
    """Run the vectors beside a model file (the embedded dataset classifier by default).

    Raises ModelError if the model or its vectors are missing, damaged, or files of another kind.
    """
    path = model or EMBEDDED_CLASSIFIER
    if path.parent != MODELS:
        model_bytes(path)
        if not vectors_path(path).is_file():
            raise ModelError(f"{path} has no self-test vectors: `fmnist-edge convert` writes them beside the int8 file")
    return check_model(path, load_vectors(path))


def check_model(model: Path, vectors: Vectors) -> SelfTest:
    """Run given vectors. Raises ModelError if the model is missing, damaged, or of the other kind."""
    if isinstance(vectors, PhotoVectors):
        return _test_photo_model(model, vectors)
    return _test_classifier(model, vectors)


def _test_classifier(model: Path, vectors: ClassifierVectors) -> SelfTest:
    classifier = Classifier(model, route="dataset")
    together = classifier.predict(vectors.images)
    alone = np.concatenate([classifier.predict(image[None]) for image in vectors.images])
    both, expected = np.concatenate([together, alone]), np.concatenate([vectors.probabilities] * 2)
    return SelfTest(
        model=model.name,
        images=len(vectors.images),
        same_file=sha256_of(model) == vectors.model_sha256,
        different_labels=int(np.sum(both.argmax(axis=1) != expected.argmax(axis=1))),
        max_difference=float(np.abs(both.astype(np.float64) - expected).max()),
        tolerance=vectors.tolerance,
        batch_equal=bool(np.array_equal(together, alone)),
    )


def _test_photo_model(model: Path, vectors: PhotoVectors) -> SelfTest:
    session = open_session(model)
    if kind_of(session) != "photo":
        raise ModelError(f"{model} is a classifier of 28x28 images, not a photo model")
    try:
        answers = [session.run([OUTPUT_NAME, SAW_NAME], {PHOTO_NAME: photo}) for photo in vectors.photos]
    except Exception as error:
        raise failed_run(model, error) from error
    found = np.concatenate([probabilities for probabilities, _ in answers]).astype(np.float64)
    return SelfTest(
        model=model.name,
        images=len(answers),
        same_file=sha256_of(model) == vectors.model_sha256,
        different_labels=int(np.sum(found.argmax(axis=1) != vectors.probabilities.argmax(axis=1))),
        max_difference=float(np.abs(found - vectors.probabilities).max()),
        tolerance=vectors.tolerance,
        saw_difference=_largest_difference([saw for _, saw in answers], vectors.saws),
        saw_tolerance=vectors.saw_tolerance,
    )


def _largest_difference(found: list[NDArray[np.float32]], expected: tuple[NDArray[np.float64], ...]) -> float | None:
    if not expected:
        return None
    pairs = list(zip(found, expected, strict=True))
    if any(one.shape != other.shape for one, other in pairs):
        return math.inf
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def load_vectors(model: Path) -> Vectors:
    """Return the vectors beside a model file. Raises ModelError if they are missing or damaged."""
    record = read_vectors(model)
    try:
        return _photo_vectors(record) if "photos" in record else _classifier_vectors(record)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ModelError(
            f"the self-test vectors {vectors_path(model)} are damaged ({error!r}); convert again"
        ) from error


def _classifier_vectors(record: dict[str, Any]) -> ClassifierVectors:
    entries = record["images"]
    return ClassifierVectors(
        str(record["model_sha256"]),
        float(record["tolerance"]),
        np.frombuffer(b"".join(_bytes(entry["pixels"]) for entry in entries), np.uint8).reshape(
            len(entries), IMAGE_SIDE, IMAGE_SIDE
        ),
        expected_probabilities(entries),
    )


def _photo_vectors(record: dict[str, Any]) -> PhotoVectors:
    entries = record["photos"]
    return PhotoVectors(
        str(record["model_sha256"]),
        float(record["tolerance"]),
        tuple(_pixels(entry["png"]) for entry in entries),
        expected_probabilities(entries),
        tuple(_saw(entry["saw"]) for entry in entries),
        float(record["saw_tolerance"]),
    )


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


def _saw(entry: dict[str, Any]) -> NDArray[np.float64]:
    """Return a map that is kept as base64 bytes, 255 for 1.0."""
    values = np.frombuffer(_bytes(entry["values"]), np.uint8).reshape(entry["rows"], entry["columns"])
    return values.astype(np.float64) / 255
