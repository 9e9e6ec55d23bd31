"""Watching a folder that others drop pictures into: every file is classified once, when it is completely written."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fmnist_edge.bulk.drop_folder import DropFolder, Ready, stamp_of
from fmnist_edge.bulk.result import Result
from fmnist_edge.bulk.streaming import PATIENCE
from fmnist_edge.bulk.watch_journal import Entry, Journal
from fmnist_edge.classifier import Classifier
from fmnist_edge.errors import ImageError
from fmnist_edge.image_files import read_file

if TYPE_CHECKING:
    from fmnist_edge.bulk.interruption import Interruption
    from fmnist_edge.bulk.streaming import OnAnswer

SETTLE: Final = 1.0  # seconds that a file must stand still; slower writers are waited for, see `drop_folder`
GROUP: Final = 64  # files at most whose rows are noted and printed together: the disk is asked once for all of them
_MOST_LOOKS: Final = 4  # a look at the folder for each quarter of the time to settle ...
_REST: Final = 3  # ... but never more than a quarter of a core for looking, however many files there are


@dataclass(frozen=True)
class Watch:
    """How to watch."""

    folder: Path
    recursive: bool = False
    settle: float = SETTLE
    """Seconds that a file must not have changed for."""


@dataclass(frozen=True)
class Listener:
    """What is done with the answers."""

    rows: Callable[[list[Result]], str]
    """Returns what is printed for some results."""
    on_result: Callable[[Result], None]
    """Hears each result after its row is printed."""
    on_problem: Callable[[str], None]
    """Hears why the folder cannot be listed, once, and an empty text when it can be again."""
    on_answer: OnAnswer | None = None
    """As `streaming.classify_all` calls it."""


class _Done(NamedTuple):
    ready: Ready
    entry: Entry
    result: Result | None
    """None for a file that is done already and was only touched."""


def watch(classifier: Classifier, how: Watch, journal: Journal, interruption: Interruption, listener: Listener) -> None:
    """Classify what is dropped into a folder until an interrupt, which raises KeyboardInterrupt.

    The journal prints the rows, so that it knows. Raises OutputError.
    """
    folder = DropFolder(how.folder, journal, recursive=how.recursive, settle=how.settle)
    problem = ""
    while True:
        begun = time.monotonic()
        found = folder.ready()
        if folder.problem != problem:
            listener.on_problem(folder.problem)
        problem = folder.problem
        looked = time.monotonic() - begun
        for group in _groups(_finished(classifier, folder, journal, found, listener.on_answer)):
            results = [done.result for done in group if done.result]
            with interruption.held():
                journal.commit([done.entry for done in group], listener.rows(results))
                for done in group:
                    folder.done(done.ready)
                for result in results:
                    listener.on_result(result)
        time.sleep(max(how.settle / _MOST_LOOKS, _REST * looked))


def _groups(items: Iterable[_Done]) -> Iterator[list[_Done]]:
    group: list[_Done] = []
    begun = time.monotonic()
    for item in items:
        group.append(item)
        if len(group) >= GROUP or time.monotonic() - begun > PATIENCE:
            yield group
            group, begun = [], time.monotonic()
    if group:
        yield group


def _finished(
    classifier: Classifier, folder: DropFolder, journal: Journal, found: list[Ready], on_answer: OnAnswer | None
) -> Iterator[_Done]:
    """Yield the files that are done now; those that cannot be decoded yet are left for later."""
    for ready in found:
        try:
            data = read_file(ready.path)
        except ImageError as error:
            done = _Done(ready, Entry(ready.name, ready.stamp, "", True), Result(ready.path, error=error))
        else:
            done = _classified(classifier, ready, data, journal, on_answer)
        error_code = done.result.error.code if done.result and done.result.error else None
        if stamp_of(ready.path) != ready.stamp:
            continue  # it changed while it was read, or vanished: the next look will tell
        if error_code is None or ready.overdue:
            yield done
        else:
            folder.wait_longer(ready)


def _classified(
    classifier: Classifier, ready: Ready, data: bytes, journal: Journal, on_answer: OnAnswer | None
) -> _Done:
    entry = Entry(ready.name, ready.stamp, hashlib.sha256(data).hexdigest())
    before = journal.entry_of(ready.name)
    if before and _is_same_picture(before, data):
        return _Done(ready, replace(entry, failed=before.failed), None)
    try:
        if on_answer is None:
            return _Done(ready, entry, Result(ready.path, classifier.classify(data)))
        from fmnist_edge.decoding import decode

        picture = decode(data, max_pixels=classifier.max_pixels)
        prediction = classifier.classify(picture)
        on_answer(ready.path, picture, prediction)
        return _Done(ready, entry, Result(ready.path, prediction))
    except ImageError as error:
        return _Done(ready, replace(entry, failed=True), Result(ready.path, error=error))


def _is_same_picture(before: Entry, data: bytes) -> bool:
    """Tell whether a file that is done was only touched, or got bytes behind its picture, as some writers add late."""
    size = before.stamp.size
    if size > len(data) or (before.failed and size < len(data)):
        return False
    return hashlib.sha256(data[:size]).hexdigest() == before.sha256
