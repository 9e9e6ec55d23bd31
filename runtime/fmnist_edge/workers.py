"""Classifying many files in several processes: threads do not scale, since most of the work holds Python's lock.

Measured for a folder of the dataset's PNG files, nine tenths of the time goes into opening, unpacking and printing.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice, takewhile
from typing import Final, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.batch import PAUSE, STANDARD_INPUT, Found, Input, OnSkip, Result, classify_all, expand
from fmnist_edge.classifier import Classifier, Prediction
from fmnist_edge.errors import FmnistEdgeError
from fmnist_edge.model_info import IMAGE_SIDE, LABELS

CHUNK: Final = 256  # files handed to a worker at once: a hundredth of a second of work, a quarter megabyte of answers
AHEAD: Final = 2  # chunks begun for each worker, so that none waits and memory does not grow


class _Packed(NamedTuple):
    """The results of a chunk on their way between processes: as columns, since pickling each would cost as much again.

    A row is an image of the dataset that was classified; photos and errors travel as they are.
    """

    probabilities: NDArray[np.float32]
    """float32 [n, 10]."""
    images: NDArray[np.uint8]
    """uint8 [n, 28, 28], what the classifier saw."""
    others: dict[int, Result]
    """By position in the chunk."""


def classify_with_workers(
    classifier: Classifier,
    inputs: Iterable[Input],
    workers: int,
    *,
    recursive: bool = False,
    on_skip: OnSkip = lambda _: None,
) -> Iterator[Result]:
    """Do the same as `batch.classify_all`, in `workers` processes with a copy of the classifier each.

    The results are the same, in the same order. Raises FmnistEdgeError if a process dies.
    """
    # Not fork: this process may run threads of onnxruntime's, which a forked child would miss.
    context = multiprocessing.get_context("spawn")
    stopped = context.RawValue(ctypes.c_bool, False)
    pool = ProcessPoolExecutor(workers, context, _begin, (classifier, stopped))
    begun: deque[tuple[list[Found], Future[_Packed]]] = deque()
    found = (one for one in expand(inputs, recursive=recursive, on_skip=on_skip) if one is not PAUSE)
    try:
        while chunk := list(islice(found, CHUNK)):
            with _interrupt_held():
                begun.append((chunk, pool.submit(_classify_chunk, [one.path for one in chunk if not _stays(one)])))
            if len(begun) >= AHEAD * workers:
                yield from _results(classifier, *begun.popleft())
        while begun:
            yield from _results(classifier, *begun.popleft())
    except BrokenProcessPool as error:
        raise FmnistEdgeError("a worker process ended (out of memory?); try fewer --workers") from error
    finally:
        stopped.value = True  # a chunk of photos takes many seconds, and the pool waits for those that were begun
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Defer Ctrl-C to the end of the block: a process that is started in it never gets the signal.

    One that gets it while it imports modules prints a traceback. Windows has no such masks.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stays(found: Found) -> bool:
    """Tell whether an input stays in this process: a folder's error, or standard input, which workers don't have."""
    return found.error is not None or found.path == STANDARD_INPUT


_classifier: Classifier
_stopped: ctypes.c_bool


def _begin(classifier: Classifier, stopped: ctypes.c_bool) -> None:
    """Prepare a worker process. On Windows Ctrl-C reaches it as well, but the parent handles it."""
    global _classifier, _stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _classifier, _stopped = classifier, stopped


def _classify_chunk(paths: list[str]) -> _Packed:
    """Classify files in a worker process, or as many as there is time for before the parent stops asking."""
    results = list(classify_all(_classifier, takewhile(lambda _: not _stopped.value, paths)))
    predictions = [result.prediction for result in results]
    rows = [one for one in predictions if _is_row(one)]
    images = [one.image for one in rows if one.image is not None]
    return _Packed(
        np.array([one.probabilities for one in rows], np.float32).reshape(-1, len(LABELS)),
        np.array(images, np.uint8).reshape(-1, IMAGE_SIDE, IMAGE_SIDE),
        {place: results[place] for place, one in enumerate(predictions) if not _is_row(one)},
    )


def _is_row(prediction: Prediction | None) -> TypeGuard[Prediction]:
    """Tell whether an answer is all in its row of probabilities and pixels."""
    return prediction is not None and prediction.image is not None and not prediction.first_of_several


def _results(classifier: Classifier, chunk: list[Found], future: Future[_Packed]) -> Iterator[Result]:
    """Yield the results of a chunk, those of inputs that stayed here in their places."""
    unpacked = _unpacked(classifier, [one.path for one in chunk if not _stays(one)], future.result())
    for one in chunk:
        if one.error:
            yield Result(one.path, error=one.error)
        elif _stays(one):
            yield from classify_all(classifier, [one.path])
        else:
            yield next(unpacked)


def _unpacked(classifier: Classifier, paths: list[str], packed: _Packed) -> Iterator[Result]:
    rows = zip(packed.probabilities, packed.images, strict=True)
    for place, path in enumerate(paths):
        if place in packed.others:
            yield packed.others[place]
        else:
            probabilities, image = next(rows)
            yield Result(path, classifier.prediction(probabilities, image))
