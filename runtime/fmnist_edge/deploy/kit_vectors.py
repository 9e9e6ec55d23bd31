"""The self-test vectors as a kit holds them: one JSON file, and raw bytes that any language can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import LABELS
from fmnist_edge.model_file.vectors import (
    ClassifierVectors,
    PhotoVectors,
    Vectors,
    expected_probabilities,
    load_vectors,
    square_images,
)

FOLDER: Final = "vectors"
INDEX: Final = f"{FOLDER}/vectors.json"
_IMAGES: Final = "images.u8"
_DRAWINGS: Final = "drawings.u8"


def vector_files(classifier: Path, photo_model: Path) -> dict[str, bytes]:
    """Return the vector files of a kit, path to content, made from the vectors beside two model files.

    Raises ModelError if those are missing or damaged.
    """
    images, photos = load_vectors(classifier), load_vectors(photo_model)
    assert isinstance(images, ClassifierVectors)
    assert isinstance(photos, PhotoVectors)
    index = {
        "schema": 1,
        "note": "all pixels are bytes, row by row from the top; compare with the tolerances stated",
        "classifier": _classifier_facts(classifier.name, images),
        "photo": _photo_facts(photo_model.name, photos),
    }
    raw = {_photo_name(number): photo.tobytes() for number, photo in enumerate(photos.photos)}
    raw |= {_IMAGES: images.images.tobytes(), _DRAWINGS: photos.images.tobytes()}
    return {INDEX: (json.dumps(index, indent=1) + "\n").encode()} | {f"{FOLDER}/{name}": raw[name] for name in raw}


def read_kit_vectors(folder: Path) -> tuple[ClassifierVectors, PhotoVectors]:
    """Return the vectors of the kit in `folder`. Raises OSError, or ValueError, KeyError, TypeError if damaged."""
    index = json.loads((folder / INDEX).read_bytes())
    classifier, photo = index["classifier"], index["photo"]
    images = (folder / FOLDER / classifier["images"]).read_bytes()
    drawings = (folder / FOLDER / photo["drawings"]).read_bytes()
    return (
        ClassifierVectors(
            classifier["sha256"],
            float(classifier["tolerance"]),
            square_images(images, len(classifier["answers"])),
            expected_probabilities(classifier["answers"]),
        ),
        PhotoVectors(
            photo["sha256"],
            float(photo["tolerance"]),
            int(photo["drawing_tolerance"]["levels"]),
            float(photo["drawing_tolerance"]["share"]),
            tuple(_read_photo(folder / FOLDER, entry) for entry in photo["answers"]),
            square_images(drawings, len(photo["answers"])),
            expected_probabilities(photo["answers"]),
        ),
    )


def _read_photo(folder: Path, entry: dict[str, Any]) -> NDArray[np.uint8]:
    return np.frombuffer((folder / entry["file"]).read_bytes(), np.uint8).reshape(entry["shape"])


def _photo_name(number: int) -> str:
    return f"photo-{number}.rgb"


def _classifier_facts(model: str, vectors: ClassifierVectors) -> dict[str, Any]:
    return {
        **_general_facts(model, vectors),
        "images": _IMAGES,
        "shape": list(vectors.images.shape),
        "answers": _answers(vectors),
    }


def _photo_facts(model: str, vectors: PhotoVectors) -> dict[str, Any]:
    places = [{"file": _photo_name(number), "shape": list(photo.shape)} for number, photo in enumerate(vectors.photos)]
    return {
        **_general_facts(model, vectors),
        "drawing_tolerance": {"levels": vectors.levels, "share": vectors.share},
        "drawings": _DRAWINGS,
        "shape": list(vectors.images.shape),
        "answers": [place | answer for place, answer in zip(places, _answers(vectors), strict=True)],
    }


def _general_facts(model: str, vectors: Vectors) -> dict[str, Any]:
    return {"model": model, "sha256": vectors.model_sha256, "tolerance": vectors.tolerance}


def _answers(vectors: Vectors) -> list[dict[str, Any]]:
    return [
        {"label": LABELS[int(row.argmax())], "probabilities": [float(value) for value in row]}
        for row in vectors.probabilities
    ]
