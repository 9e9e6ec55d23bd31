"""A small program that uses the Python interface, as its users write it; a test has type checkers read it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge import LABELS, Classifier, FmnistEdgeError, ImageError, Prediction, UsageError, __version__


def name_all(folder: Path) -> dict[str, str]:
    """Name the garments in a folder's pictures."""
    classifier = Classifier(threads=2, unsure_below=0.6)
    names: dict[str, str] = {}
    for path in folder.glob("*.jpg"):
        try:
            prediction: Prediction = classifier.classify(path)
        except ImageError as error:
            print(error.path, error.code, error.message)
            continue
        names[path.name] = "?" if prediction.unsure else prediction.class_name
    return names


def every_kind_of_source(classifier: Classifier, pixels: NDArray[np.uint8]) -> list[float]:
    """Classify whatever a picture can come as."""
    answers = [classifier.classify("shirt.png"), classifier.classify(Path("shirt.png")), classifier.classify(b"")]
    answers += [classifier.classify(io.BytesIO(b"")), classifier.classify(PIL.Image.new("L", (28, 28)))]
    answers += [classifier.classify(pixels), classifier.classify(pixels > 99)]
    with open("shirt.png", "rb") as file:
        answers.append(classifier.classify(file))
    return [answer.confidence for answer in answers]


def best_two(classifier: Classifier, images: NDArray[np.uint8]) -> list[tuple[int, float]]:
    """Use the fast path, and what a prediction holds."""
    probabilities: NDArray[np.float32] = classifier.predict(images)
    prediction = classifier.prediction(probabilities[0], images[0])
    saw: NDArray[np.float32] | None = prediction.saw
    seen: NDArray[np.uint8] | None = prediction.image
    print(LABELS[prediction.index], prediction.label, prediction.model, saw is None, seen is None, __version__)
    return prediction.top(2)


try:
    Classifier(route="photo").classify("shirt.png")
except UsageError as error:
    print(error.exit_code)
except FmnistEdgeError as error:
    print(error)
