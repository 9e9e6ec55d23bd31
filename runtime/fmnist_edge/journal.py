"""What `classify --watch` has done so far, in an SQLite database, and the rows that it prints of it."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from fmnist_edge.errors import FmnistEdgeError, OutputError, UsageError

_APPLICATION: Final = 0x666D6E65  # SQLite's application_id: this file is a state of ours, and of nothing else
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS folder (path BLOB);
CREATE TABLE IF NOT EXISTS done (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT, failed INTEGER);
CREATE TABLE IF NOT EXISTS pending (rows TEXT, output TEXT, size INTEGER);
"""


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

    Rows are first committed to it as pending, together with their files; then they are printed; then the pending ones
    are deleted. After a kill in between, the next start finishes the printing: it checks how much of them is in the
    output. Only a regular file can tell, and only while nothing else writes to it; in a pipe or a terminal the rows of
    the last commit may come a second time.
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
        """Return the entry of a file that is done."""
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
        """Check that the file is the state of this folder, and keep it locked."""
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
        """Print what is pending, from where the output ends."""
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
        """Turn errors of the database into one line."""
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
