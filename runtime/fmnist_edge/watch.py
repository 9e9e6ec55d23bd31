"""Watching a folder that others drop pictures into: every file is classified once, when it is completely written."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple

from fmnist_edge.batch import BATCH_SECONDS, Found, Result, walk
from fmnist_edge.classifier import Classifier
from fmnist_edge.errors import FmnistEdgeError, ImageError, OutputError, UsageError
from fmnist_edge.image_files import read_file

if TYPE_CHECKING:
    from fmnist_edge.batch import OnAnswer


SETTLE: Final = 1.0  # seconds that a file must not have changed for; slower writers are waited for, see `DropFolder`
GROUP: Final = 64  # files at most whose rows are noted and printed together: the disk is asked once for all of them
# How many times longer than a complete file a damaged one is waited for, before it is called so.
DAMAGED_AFTER: Final = 30
# Names that browsers, curl, rsync and file servers give to what they have not finished (hidden files are left out
# by `walk`).
UNFINISHED: Final = (".part", ".partial", ".tmp", ".crdownload", ".download", ".filepart", ".opdownload")
_MOST_LOOKS: Final = 4  # a look at the folder for each quarter of the time to settle ...
_REST: Final = 3  # ... but never more than a quarter of a core for looking, however many files there are
_APPLICATION: Final = 0x666D6E65  # SQLite's application_id: this file is a state of ours, and of nothing else
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS folder (path BLOB);
CREATE TABLE IF NOT EXISTS done (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT, failed INTEGER);
CREATE TABLE IF NOT EXISTS pending (rows TEXT, output TEXT, size INTEGER);
"""


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
        if len(group) >= GROUP or time.monotonic() - begun > BATCH_SECONDS:
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
        prediction = classifier.classify(data)
        if on_answer is not None:
            on_answer(ready.path, data, prediction)
        return _Done(ready, entry, Result(ready.path, prediction))
    except ImageError as error:
        return _Done(ready, replace(entry, failed=True), Result(ready.path, error=error))


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
    """The moment of the monotonic clock since when it has not changed."""
    failed: bool = False
    """It could not be decoded as it is."""


class DropFolder:
    """Looks at a folder again and again."""

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
        for item in self._files():
            if item.error:
                problem = f"{item.path}: {item.error}"
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

    def _files(self) -> Iterator[Found]:
        for item in walk(str(self._folder), deep=self._recursive):
            if item.error or not item.path.lower().endswith(UNFINISHED):
                yield item

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


class Stamp(NamedTuple):
    """A file as it was when it was read."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Entry:
    """One file that is done."""

    path: str
    """Below the watched folder, with forward slashes."""
    stamp: Stamp
    sha256: str
    """Of its bytes; empty if they could not be read."""
    failed: bool = False
    """Its row is an error."""


class Output:
    """Where rows go: a file descriptor."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        """Write to an open file; what `encoding` lacks comes as escapes."""
        self._descriptor, self._encoding = descriptor, encoding

    def encoded(self, text: str) -> bytes:
        """Return text as it is written."""
        return text.encode(self._encoding, "backslashreplace")

    def place(self) -> tuple[str, int]:
        """Return which regular file it is (device and inode) and its size; an empty name for anything else."""
        status = os.fstat(self._descriptor)
        is_file = stat.S_ISREG(status.st_mode)
        return (f"{status.st_dev} {status.st_ino}", status.st_size) if is_file else ("", 0)

    def write(self, text: bytes) -> None:
        """Write all of it. Raises OutputError, BrokenPipeError."""
        try:
            while text:
                text = text[os.write(self._descriptor, text) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"cannot print the rows: {error.strerror}; start again when there is room") from error


class Journal:
    """The files that are done, in an SQLite database, so that no kill makes a row come twice or get lost.

    Rows are first committed to it, together with the files that they are about, as pending; then they are printed;
    then they are struck off. After a kill in between, the next start finishes the printing: it looks how much of them
    the output has. Only a regular file can tell, and only while nothing else writes to it; into a pipe or a terminal
    the rows of the last commit may come a second time.
    """

    def __init__(self, path: Path | None, folder: Path, output: Output) -> None:
        """Open the database at `path`, made if missing (None: in memory), and print what an earlier process could not.

        Raises OutputError if it cannot be written, UsageError if it is of another folder, of another program or in
        use, FmnistEdgeError if it is damaged.
        """
        self._path, self._output = path, output
        if path is not None:
            _make_place(path)
        with self._errors():
            self._database = sqlite3.connect(path or ":memory:", timeout=0, isolation_level=None)
        try:
            with self._errors():
                self._open(os.fsencode(folder.resolve()))
                self._print_pending()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM done").fetchone()[0])

    def entry_of(self, path: str) -> Entry | None:
        """Return what is noted of a file that is done."""
        query = "SELECT size, mtime_ns, sha256, failed FROM done WHERE path = ?"
        with self._errors():
            row = self._database.execute(query, (os.fsencode(path),)).fetchone()
        return Entry(path, Stamp(row[0], row[1]), row[2], bool(row[3])) if row else None

    def commit(self, entries: list[Entry], rows: str) -> None:
        """Note files as done and print their rows, so that a kill at any moment costs none of them."""
        files = [(os.fsencode(one.path), *one.stamp, one.sha256, one.failed) for one in entries]
        with self._errors():
            with self._transaction():
                self._database.executemany("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?)", files)
                self._database.execute("INSERT INTO pending VALUES (?, ?, ?)", (rows, *self._output.place()))
            self._print_pending()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others use the file."""
        self._database.close()

    def _open(self, folder: bytes) -> None:
        """See whose file it is, and keep it locked."""
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        with self._transaction("EXCLUSIVE"):
            known = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if known and self._database.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                raise _foreign(self._path)
            self._database.execute(f"PRAGMA application_id = {_APPLICATION}")
            for table in _TABLES.strip().splitlines():
                self._database.execute(table)
            if not known:
                self._database.execute("INSERT INTO folder VALUES (?)", (folder,))
            (watched,) = self._database.execute("SELECT path FROM folder").fetchone()
        if watched != folder:
            raise UsageError(f"{self._path} is the state of watching {os.fsdecode(watched)}, not {os.fsdecode(folder)}")

    def _print_pending(self) -> None:
        """Print what was committed and not struck off, from where the output stands."""
        for rows, output, size in self._database.execute("SELECT * FROM pending").fetchall():
            now, now_size = self._output.place()
            printed = max(0, now_size - size) if now and now == output else 0
            self._output.write(self._output.encoded(rows)[printed:])
        with self._transaction():
            self._database.execute("DELETE FROM pending")

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        self._database.execute(f"BEGIN {kind}")
        with self._database:
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say in one line what is wrong with the database."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_BUSY:
                raise UsageError(f"another process watches with the state {self._path}") from error
            if code == sqlite3.SQLITE_NOTADB:
                raise _foreign(self._path) from error
            if isinstance(error, sqlite3.OperationalError):
                raise _unwritable(self._path, error) from error
            hint = "move it away, and all files are classified again"
            raise FmnistEdgeError(f"the state {self._path} is damaged ({error}); {hint}") from error


def _make_place(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} cannot keep a state: it is not a regular file")
    except OSError as error:
        raise _unwritable(path, error.strerror) from error


def _foreign(path: Path | None) -> UsageError:
    return UsageError(f"{path} is not a state of `classify --watch`; name another file with --state")


def _unwritable(path: Path | None, reason: object) -> OutputError:
    return OutputError(f"cannot keep the state {path}: {reason}; choose another place with --state")


class Interruption:
    """While entered, SIGINT and SIGTERM raise KeyboardInterrupt; inside `held`, at its end, but for a second one."""

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
        """Put an interrupt off until the block is through."""
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
