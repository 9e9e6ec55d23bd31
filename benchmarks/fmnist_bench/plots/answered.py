"""Answers to be drawn: images of the dataset, or a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fmnist_bench.plots.predictions import Answered
from fmnist_edge.bulk.streaming import classify_all
from fmnist_edge.classifier import Classifier
from fmnist_edge.contract import IMAGE_SIDE
from fmnist_edge.dataset import SplitName, load_split
from fmnist_edge.errors import UsageError
from fmnist_edge.images import load_image
from fmnist_edge.intake.decoding import decode


def answered_images(
    classifier: Classifier, split: SplitName, data: Path | None, index: int, count: int
) -> list[Answered]:
    """Classify `count` images of a split from an index on. Raises UsageError if there are none; DataError."""
    part = load_split(split, data)
    images, labels = part.images[index : index + count], part.labels[index : index + count]
    if not len(images):
        raise UsageError(f"there is no image {index}: the {split} split has 0..{len(part.images) - 1}")
    rows = zip(images, classifier.predict(images), labels, strict=True)
    return [
        Answered(image, probabilities, int(label), name=f"{split} image {index + at}")
        for at, (image, probabilities, label) in enumerate(rows)
    ]


def answered_file(classifier: Classifier, path: str, truth: int | None) -> Answered:
    """Classify an image file as `classify` does, keeping its own pixels. Raises ImageError."""
    (result,) = classify_all(classifier, [path])
    if result.prediction is None:
        assert result.error is not None
        raise result.error
    prediction = result.prediction
    original = np.asarray(decode(path))
    seen = prediction.image if prediction.image is not None else load_image(path)
    plain = original.shape == (IMAGE_SIDE, IMAGE_SIDE) and np.array_equal(original, seen)
    return Answered(seen, prediction.probabilities, truth, None if plain else original, name=Path(path).name)
