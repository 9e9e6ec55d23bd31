"""Classifying images that may end the process: each in a child process, so that such an image costs itself alone.

Pillow's decoders are C code, and among a hundred million files from anywhere one may crash them, or take more memory
than there is. Ray starts the worker again, and would do so for ever.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final

from fmnist_edge.batch import Result
from fmnist_edge.classifier import Classifier, Prediction
from fmnist_edge.errors import ImageError
from fmnist_edge.images import ImageSource

TRIES: Final = 2  # a child may also be killed by somebody who means no image


def classify_carefully(
    make: Callable[[], Classifier], sources: Iterable[tuple[str, ImageSource | ImageError]]
) -> Iterator[Result]:
    """Do as `streaming.classify_sources` does, with the same answers; what ends a child is an error, `crashed`.

    `make` pickles; a child calls it once for its classifier.
    """
    child = _Child(make)
    try:
        for path, source in sources:
            yield Result(path, error=source) if isinstance(source, ImageError) else child.classify(path, source)
    finally:
        child.end()


class _Child:
    """A process that classifies, and another if that one dies."""

    def __init__(self, make: Callable[[], Classifier]) -> None:
        self._make = make
        self._pool = self._started()

    def classify(self, path: str, source: ImageSource) -> Result:
        for _ in range(TRIES):
            try:
                return Result(path, self._pool.submit(_classify, source).result())
            except ImageError as error:
                return Result(path, error=error)
            except BrokenProcessPool:
                self.end()
                self._pool = self._started()
        return Result(path, error=ImageError("crashed", "decoding it ended the process"))

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (self._make,))

    def end(self) -> None:
        self._pool.shutdown()


_classifier: Classifier


def _begin(make: Callable[[], Classifier]) -> None:
    """Prepare a child process."""
    global _classifier
    _classifier = make()


def _classify(source: ImageSource) -> Prediction:
    return _classifier.classify(source)
