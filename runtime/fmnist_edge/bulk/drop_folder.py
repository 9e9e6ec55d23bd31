"""A folder that others drop files into: which of them are completely written, and not done yet.

A file is complete when its size and time of change have stood still for a while; one that was renamed into the folder
brings an old time with it and is complete at once. A writer that pauses for longer leaves a picture that cannot be
decoded (no beginning of a picture can: tests/runtime/test_decoding.py), and such a file is waited for longer.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fmnist_edge.bulk.walking import Found, walk
from fmnist_edge.bulk.watch_journal import Journal, Stamp

# How many times longer than a complete file a damaged one is waited for, before it is called so.
PATIENCE: Final = 30
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
        overdue = still >= PATIENCE * self._settle
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
