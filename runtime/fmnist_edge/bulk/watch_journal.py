"""What a watcher has done so far, in a file that a kill at any moment leaves usable: so no row comes twice or is lost.

The journal is a file of JSON lines that only grows. Rows are first written into it, in one line with the files that
they are about; then they are printed; then a line says that they were. After a kill between the first and the last,
the next start finishes the printing: it looks how much of them the output has. Only a regular file can tell, and
only while nothing else writes to it; into a pipe or a terminal the rows of the last line may come a second time.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from fmnist_edge.errors import FmnistEdgeError, OutputError, UsageError

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
