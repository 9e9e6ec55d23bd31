"""Watching a folder that others drop pictures into: every file is classified once, when it is completely written."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple

from fmnist_edge.batch import Result, in_batches, walk
from fmnist_edge.classifier import Classifier
from fmnist_edge.errors import ImageError
from fmnist_edge.image_files import read_file
from fmnist_edge.journal import Entry, Journal, Stamp

if TYPE_CHECKING:
    from fmnist_edge.batch import OnAnswer


SETTLE: Final = 1.0  # seconds that a file must not have changed for; slower writers are waited for, see `DropFolder`
GROUP: Final = 64  # files at most whose rows are noted and printed together: the disk is asked once for all of them
# How many times longer than a complete file a damaged one is waited for, before it is called so.
DAMAGED_AFTER: Final = 30
# Names that browsers, curl, rsync and file servers give to what they have not finished, apart from hidden files.
UNFINISHED: Final = (".part", ".partial", ".tmp", ".crdownload", ".download", ".filepart", ".opdownload")
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
    """Is told each result after its row is printed."""
    on_problem: Callable[[str], None]
    """Is told why the folder cannot be listed, once, and an empty text when it can be again."""
    on_answer: OnAnswer | None = None
    """As `batch.classify_all` calls it."""


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
        for group in in_batches(_finished(classifier, folder, journal, found, listener.on_answer), GROUP):
            results = [done.result for done in group if done.result]
            with interruption.held():
                journal.commit([done.entry for done in group], listener.rows(results))
                for done in group:
                    folder.done(done.ready)
                for result in results:
                    listener.on_result(result)
        time.sleep(max(how.settle / _MOST_LOOKS, _REST * looked))


def _finished(
    classifier: Classifier, folder: DropFolder, journal: Journal, found: list[Ready], on_answer: OnAnswer | None
) -> Iterator[_Done]:
    """Yield the files that are done now; those that cannot be decoded yet are left for later."""
    for ready in found:
        done = _classified(classifier, ready, journal, on_answer)
        if stamp_of(ready.path) != ready.stamp:
            continue  # it changed while it was read, or vanished: the next look will tell
        if ready.overdue or done.result is None or done.result.error is None:
            yield done
        else:
            folder.wait_longer(ready)


def _classified(classifier: Classifier, ready: Ready, journal: Journal, on_answer: OnAnswer | None) -> _Done:
    entry = Entry(ready.name, ready.stamp, "", failed=True)
    try:
        data = read_file(ready.path)
        entry = replace(entry, sha256=hashlib.sha256(data).hexdigest())
        before = journal.entry_of(ready.name)
        if before and _is_same_picture(before, data):
            return _Done(ready, replace(entry, failed=before.failed), None)
        prediction = classifier.classify(data)
        if on_answer is not None:
            on_answer(ready.path, data, prediction)
    except ImageError as error:
        return _Done(ready, entry, Result(ready.path, error=error))
    return _Done(ready, replace(entry, failed=False), Result(ready.path, prediction))


def _is_same_picture(before: Entry, data: bytes) -> bool:
    """Tell whether a file that is done was only touched, or got bytes behind its picture, as some writers add late."""
    size = before.stamp.size
    if size > len(data) or (before.failed and size < len(data)):
        return False
    return hashlib.sha256(data[:size]).hexdigest() == before.sha256


@dataclass(frozen=True)
class Ready:
    """A file that has not changed for a while."""

    path: str
    """To open it."""
    name: str
    """Below the folder, with forward slashes."""
    stamp: Stamp
    overdue: bool
    """It has not changed for so long that it is classified as it is, damaged or not."""


@dataclass
class _Seen:
    stamp: Stamp
    since: float
    """The monotonic clock when it last changed."""
    failed: bool = False
    """It could not be decoded as it is."""


class DropFolder:
    """Finds the files of a folder that are complete, each time it is asked."""

    def __init__(self, folder: Path, journal: Journal, *, recursive: bool, settle: float) -> None:
        """Look into `folder`; a file is complete when it has not changed for `settle` seconds."""
        self._folder, self._journal, self._recursive, self._settle = folder, journal, recursive, settle
        self._prefix = os.path.join(folder, "")  # noqa: PTH118 (Path drops the separator)
        self._seen: dict[str, _Seen] = {}
        self.problem = ""
        """Why the folder, or one in it, cannot be listed at present; empty if it can."""

    def ready(self) -> list[Ready]:
        """Look once and return the files that are complete and not done, sorted as `walk` does."""
        now, problem, present = time.monotonic(), "", set()
        found = []
        for item in walk(str(self._folder), deep=self._recursive):
            if item.error:
                problem = f"{item.path}: {item.error}"
                continue
            if item.path.lower().endswith(UNFINISHED):
                continue
            name = item.path[len(self._prefix) :].replace(os.sep, "/")
            present.add(name)
            stamp = stamp_of(item.path)
            entry = self._journal.entry_of(name)
            if stamp and (entry is None or entry.stamp != stamp) and (ready := self._look(item.path, name, stamp, now)):
                found.append(ready)
        self.problem = problem
        if not problem:
            self._seen = {name: seen for name, seen in self._seen.items() if name in present}
        return found

    def wait_longer(self, ready: Ready) -> None:
        """Leave a file alone until it changes or is overdue: it could not be decoded."""
        if ready.name in self._seen:
            self._seen[ready.name].failed = True

    def done(self, ready: Ready) -> None:
        """Forget what is in the journal now."""
        self._seen.pop(ready.name, None)

    def _look(self, path: str, name: str, stamp: Stamp, now: float) -> Ready | None:
        seen = self._seen.get(name)
        if seen is None or seen.stamp != stamp:
            # The age is by two clocks, so it may be negative on a network drive; the file then waits its full time.
            age = max(0.0, time.time() - stamp.mtime_ns / 1e9)
            seen = self._seen[name] = _Seen(stamp, now - age)
        still = now - seen.since
        overdue = still >= DAMAGED_AFTER * self._settle
        if still < self._settle or (seen.failed and not overdue):
            return None
        return Ready(path, name, stamp, overdue)


def stamp_of(path: str) -> Stamp | None:
    """Return what a regular file looks like now; None if it vanished or is something else."""
    try:
        status = os.stat(path)  # noqa: PTH116 (as text: one for each file at every look)
    except OSError:  # it vanished, or is a link to nothing
        return None
    return Stamp(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


class Interruption:
    """While entered, SIGINT and SIGTERM raise KeyboardInterrupt; `held` defers the first to the end of its block."""

    def __init__(self) -> None:
        self._held = False
        self._wanted = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Defer an interrupt to the end of the block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._wanted:
            raise KeyboardInterrupt

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        again, self._wanted = self._wanted, True
        if again or not self._held:
            raise KeyboardInterrupt
