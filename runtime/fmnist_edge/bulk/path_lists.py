"""Lists of paths, as `find` or `git ls-files` print them: read as they come, so that they may be endless."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, Final

from fmnist_edge.bulk.walking import PAUSE, Found
from fmnist_edge.errors import FmnistEdgeError, ImageError

STANDARD_INPUT: Final = "-"
LONGEST_PATH: Final = 1 << 16  # bytes; no system takes longer ones, and what holds no separator is no list
_CHUNK: Final = 1 << 16


def listed_paths(source: str, *, null: bool = False) -> Iterator[Found]:
    """Yield the paths that a file names ("-" for standard input), one a line, or with `null` after each a zero byte.

    Bytes that are not UTF-8 become surrogate escapes, as everywhere. Empty lines are skipped. An entry that is no
    path, such as "-", comes as an error in its place. PAUSE comes before waiting for whoever writes the list.
    Raises FmnistEdgeError if the list cannot be read.
    """
    for raw in _entries(source, b"\0" if null else b"\n"):
        if raw is None:
            yield PAUSE
            continue
        if raw and not null and os.name == "nt":
            raw = raw.removesuffix(b"\r")
        if len(raw) > LONGEST_PATH:
            yield Found(os.fsdecode(raw[:80]) + "...", ImageError("unreadable-file", "an entry longer than any path"))
        elif raw == b"-":
            yield Found("-", ImageError("unreadable-file", "write ./- for a file of this name"))
        elif raw:
            yield Found(os.fsdecode(raw))


def _entries(source: str, separator: bytes) -> Iterator[bytes | None]:
    try:
        with nullcontext(sys.stdin.buffer) if source == STANDARD_INPUT else Path(source).open("rb") as file:
            yield from _split(file, separator)
    except OSError as error:
        raise FmnistEdgeError(f"cannot read the list {source}: {error.strerror or error}") from error


def _split(file: BinaryIO, separator: bytes) -> Iterator[bytes | None]:
    """Yield what stands between separators as soon as it is there, and None before waiting for more.

    Of an endless entry no more than its beginning is kept.
    """
    rest = b""
    while chunk := file.read1(_CHUNK):  # type: ignore[attr-defined]
        *whole, rest = (rest + chunk).split(separator)
        yield from whole
        rest = rest[: LONGEST_PATH + 1]
        if _would_wait(file):
            yield None
    if rest:
        yield rest


def _would_wait(file: BinaryIO) -> bool:
    """Tell whether there is nothing to read just now. Windows can tell of sockets alone."""
    if os.name == "nt":
        return False
    try:
        return not select.select([file], [], [], 0)[0]
    except (OSError, ValueError):  # no file of the system
        return False
