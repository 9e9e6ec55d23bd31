"""Watching a folder that others drop pictures into: every file is classified once, when it is completely written."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fmnist_edge.batch import BATCH_SECONDS, Found, Result, walk
from fmnist_edge.classifier import Classifier
from fmnist_edge.errors import FmnistEdgeError, ImageError, OutputError, UsageError
from fmnist_edge.image_files import read_file

if TYPE_CHECKING:
    from fmnist_edge.batch import OnAnswer


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


# How many times longer than a complete file a damaged one is waited for, before it is called so.
DAMAGED_AFTER: Final = 30
# Names that browsers, curl, rsync and file servers give to what they have not finished (hidden files are left out
# by `walk`).
UNFINISHED: Final = (".part", ".partial", ".tmp", ".crdownload", ".download", ".filepart", ".opdownload")


@dataclass(frozen=True)
class Ready:
    """A file that stands still."""

    path: str
    """To open it."""
    name: str
    """Below the folder, with forward slashes."""
    stamp: Stamp
    overdue: bool
    """It has stood still for so long that it is what it is, damaged or not."""


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


try:
    import fcntl
except ImportError:  # Windows keeps a second writer out by itself
    fcntl = None  # type: ignore[assignment]

_FORMAT: Final = 1
_HEADER: Final = "fmnist-edge watch"


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

    def place(self) -> list[int] | None:
        """Return device, inode and size if it is a regular file; None for a pipe, a terminal or a device."""
        status = os.fstat(self._descriptor)
        return [status.st_dev, status.st_ino, status.st_size] if stat.S_ISREG(status.st_mode) else None

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
    """The files that are done, in memory and, if it has a path, in a file."""

    def __init__(self, path: Path | None, folder: Path, output: Output) -> None:
        """Read the journal at `path`, made if missing, and print what an earlier process could not.

        Raises OutputError if it cannot be written, UsageError if it is of another folder or in use,
        FmnistEdgeError if it is damaged.
        """
        self._path, self._output = path, output
        self._done: dict[str, Entry] = {}
        self._file = -1
        if path is not None:
            self._file = self._opened(path)
            try:
                self._read(path, str(folder.resolve()))
            except BaseException:
                self.close()
                raise

    def __len__(self) -> int:
        return len(self._done)

    def entry_of(self, path: str) -> Entry | None:
        """Return what is noted of a file that is done."""
        return self._done.get(path)

    def commit(self, entries: list[Entry], rows: str) -> None:
        """Note files as done and print their rows, so that a kill at any moment costs none of them."""
        files = [[entry.path, *entry.stamp, entry.sha256, entry.failed] for entry in entries]
        self._append({"rows": rows, "output": self._output.place(), "files": files}, durable=True)
        self._output.write(self._output.encoded(rows))
        self._append({"printed": True})
        self._remember(files)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others use the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _opened(self, path: Path) -> int:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                raise UsageError(f"{path} is no file that can keep a state")
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise _unwritable(path, error) from error
        if fcntl is not None:
            _lock(file, path)
        return file

    def _read(self, path: Path, folder: str) -> None:
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]  # a kill or a full disk may have cut the last line
        if len(whole) < len(content):
            os.ftruncate(self._file, len(whole))
        lines = [_parsed(path, number, line) for number, line in enumerate(whole.splitlines(), 1)]
        if not lines:
            self._append({_HEADER: _FORMAT, "folder": folder}, durable=True)
            return
        if lines[0].get(_HEADER) != _FORMAT:
            raise UsageError(f"{path} is no state of `classify --watch`; name another file with --state")
        if lines[0].get("folder") != folder:
            raise UsageError(f"{path} is the state of watching {lines[0].get('folder')}, not {folder}")
        self._replay(path, lines[1:])

    def _replay(self, path: Path, lines: list[dict[str, Any]]) -> None:
        try:
            for line in lines:
                self._remember(line.get("files", ()))
            if lines and "rows" in lines[-1]:
                rows = self._output.encoded(str(lines[-1]["rows"]))
                self._output.write(rows[_printed(lines[-1]["output"], self._output.place()) :])
                self._append({"printed": True})
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from error

    def _remember(self, files: Any) -> None:
        for name, size, mtime_ns, digest, failed in files:
            self._done[name] = Entry(str(name), Stamp(int(size), int(mtime_ns)), str(digest), bool(failed))

    def _append(self, line: dict[str, Any], *, durable: bool = False) -> None:
        """Add a line in one step; a durable one is on the disk when this returns."""
        if self._path is None:
            return
        try:
            text = json.dumps(line).encode() + b"\n"
            if os.write(self._file, text) < len(text):
                raise OSError(28, "No space left on device")
            if durable:
                os.fsync(self._file)
        except OSError as error:
            raise _unwritable(self._path, error) from error


def _printed(before: list[int] | None, now: list[int] | None) -> int:
    """Return how many bytes the output has grown by: 0 unless it is the same regular file and longer than before."""
    if before is None or now is None or before[:2] != now[:2]:
        return 0
    return max(0, now[2] - int(before[2]))


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
        if isinstance(parsed, dict):
            return parsed
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"line {number}: {error}") from error
    raise _damaged(path, f"line {number}")


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise UsageError(f"another process watches with the state {path}") from error
    except OSError:  # some network drives know no locks
        return


def _damaged(path: Path, what: object) -> FmnistEdgeError:
    return FmnistEdgeError(f"the state {path} is damaged ({what}); move it away, and all files are classified again")


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot keep the state {path}: {error.strerror or error}; choose another place with --state")
