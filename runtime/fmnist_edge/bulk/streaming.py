"""Classifying many images in a stream: answers in the order given, in memory that does not grow."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.bulk.result import Result
from fmnist_edge.bulk.walking import PAUSE, Found, Input, expand
from fmnist_edge.classifier import Classifier, Prediction
from fmnist_edge.errors import ImageError
from fmnist_edge.image_files import read_stream

if TYPE_CHECKING:
    import PIL.Image

    from fmnist_edge.images import ImageSource

STANDARD_INPUT: Final = "-"
BATCH: Final = 256  # images run at once; more bought no speed on two cores, and 200 KB is little memory
PATIENCE: Final = 0.25  # seconds after which a batch is run though it is not full, so that answers keep coming

OnAnswer: TypeAlias = "Callable[[str, PIL.Image.Image, Prediction], None]"


class _Waiting(NamedTuple):
    """An image of the dataset that waits for its batch."""

    picture: PIL.Image.Image | None
    """Decoded; None where nobody asks for it."""
    image: NDArray[np.uint8]


_Loaded: TypeAlias = tuple[str, _Waiting | Prediction | ImageError]


def classify_all(
    classifier: Classifier,
    inputs: Iterable[Input],
    *,
    recursive: bool = False,
    on_answer: OnAnswer | None = None,
) -> Iterator[Result]:
    """Classify files one after the other and yield a Result for each, in the order given.

    "-" is an image on standard input. With `recursive`, a folder stands for its files (see `walking.walk`); without,
    it is an error. An input that cannot be classified yields its ImageError; the others go on.
    `on_answer` is called with path, decoded picture and prediction of each image, before its Result comes.
    """
    found = expand(inputs, recursive=recursive)
    for batch in _batches(None if one is PAUSE else _loaded(classifier, one, on_answer) for one in found):
        yield from _classified(classifier, batch, on_answer)


def classify_sources(
    classifier: Classifier, sources: Iterable[tuple[str, ImageSource | ImageError]]
) -> Iterator[Result]:
    """Classify images that come from anywhere, each with the path that its Result shall bear, in the order given.

    An ImageError in an image's place becomes its Result. The answers are those of `classify_all`.
    """
    for batch in _batches(_begun(classifier, path, source) for path, source in sources):
        yield from _classified(classifier, batch, None)


def _begun(classifier: Classifier, path: str, source: ImageSource | ImageError) -> _Loaded:
    if isinstance(source, ImageError):
        return path, source
    try:
        begun = classifier.begin(source)
    except ImageError as error:
        return path, error
    return path, begun if isinstance(begun, Prediction) else _Waiting(None, begun)


def _loaded(classifier: Classifier, found: Found, on_answer: OnAnswer | None) -> _Loaded:
    """Decode an input; photos are answered at once, so that no more than one of them is held at a time."""
    if found.error:
        return found.path, found.error
    try:
        source = read_stream(sys.stdin.buffer) if found.path == STANDARD_INPUT else found.path
        picture = _picture(source, classifier.max_pixels) if on_answer else None
        begun = classifier.begin(source if picture is None else picture)
    except ImageError as error:
        return found.path, error
    if not isinstance(begun, Prediction):
        return found.path, _Waiting(picture, begun)
    if on_answer and picture is not None:
        on_answer(found.path, picture, begun)
    return found.path, begun


def _picture(source: str | bytes, max_pixels: int) -> PIL.Image.Image:
    from fmnist_edge.decoding import decode  # not above: without `on_answer`, plain images need no Pillow

    return decode(source, max_pixels=max_pixels)


def _batches(items: Iterable[_Loaded | None]) -> Iterator[list[_Loaded]]:
    batch: list[_Loaded] = []
    begun = time.monotonic()
    for item in items:
        if item is not None:
            batch.append(item)
        if item is None or len(batch) >= BATCH or time.monotonic() - begun > PATIENCE:
            yield batch
            batch, begun = [], time.monotonic()
    if batch:
        yield batch


def _classified(classifier: Classifier, batch: list[_Loaded], on_answer: OnAnswer | None) -> Iterator[Result]:
    images = [item.image for _, item in batch if isinstance(item, _Waiting)]
    answers = iter(classifier.predict(np.stack(images)) if images else ())
    for path, item in batch:
        if isinstance(item, ImageError):
            yield Result(path, error=item)
        elif isinstance(item, Prediction):
            yield Result(path, item)
        else:
            prediction = Prediction(next(answers), classifier.labels, item.image)
            if on_answer and item.picture is not None:
                on_answer(path, item.picture, prediction)
            yield Result(path, prediction)
