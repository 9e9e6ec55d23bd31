"""Classifying many images in a stream: answers in the order given, in memory that does not grow."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.classifier import Classifier
from fmnist_edge.errors import ImageError
from fmnist_edge.image_files import read_stream
from fmnist_edge.images import load_image
from fmnist_edge.prediction import Prediction
from fmnist_edge.result import Result
from fmnist_edge.walking import Found, expand

STANDARD_INPUT: Final = "-"
BATCH: Final = 256  # images run at once; more bought no speed on two cores, and 200 KB is little memory
PATIENCE: Final = 0.25  # seconds after which a batch is run though it is not full, so that answers keep coming

_Loaded: TypeAlias = tuple[str, NDArray[np.uint8] | ImageError]


def classify_all(
    classifier: Classifier, inputs: Iterable[str | os.PathLike[str]], *, recursive: bool = False
) -> Iterator[Result]:
    """Classify files one after the other and yield a Result for each, in the order given.

    "-" is an image on standard input. With `recursive`, a folder stands for its files (see `walking.walk`); without,
    it is an error. An input that cannot be classified yields its ImageError; the others go on.
    """
    for batch in _batches(map(_loaded, expand(inputs, recursive=recursive))):
        yield from _classified(classifier, batch)


def _loaded(found: Found) -> _Loaded:
    if found.error:
        return found.path, found.error
    try:
        source = read_stream(sys.stdin.buffer) if found.path == STANDARD_INPUT else found.path
        return found.path, load_image(source)
    except ImageError as error:
        return found.path, error


def _batches(items: Iterable[_Loaded]) -> Iterator[list[_Loaded]]:
    batch: list[_Loaded] = []
    begun = time.monotonic()
    for item in items:
        batch.append(item)
        if len(batch) >= BATCH or time.monotonic() - begun > PATIENCE:
            yield batch
            batch, begun = [], time.monotonic()
    if batch:
        yield batch


def _classified(classifier: Classifier, batch: list[_Loaded]) -> Iterator[Result]:
    images = [image for _, image in batch if not isinstance(image, ImageError)]
    answers = iter(classifier.predict(np.stack(images)) if images else ())
    for path, image in batch:
        if isinstance(image, ImageError):
            yield Result(path, error=image)
        else:
            yield Result(path, Prediction(next(answers), classifier.labels))
