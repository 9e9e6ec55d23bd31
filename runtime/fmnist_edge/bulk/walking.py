"""Finding the files of a folder, in an order that is the same on every machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from fmnist_edge.errors import ImageError


class Found(NamedTuple):
    """A file to be read, or a folder that could not be."""

    path: str
    """As given, or the folder as given with the rest joined to it. Undecodable bytes are surrogate escapes."""
    error: ImageError | None = None
    """Why a folder could not be listed."""


PAUSE: Final = Found("")
"""Among inputs: no more of them is at hand just now, so what waits for company should not."""
Input: TypeAlias = str | os.PathLike[str] | Found


def expand(inputs: Iterable[Input], *, recursive: bool = False) -> Iterator[Found]:
    """Yield the inputs in their order; with `recursive`, the files of a folder in its place."""
    for item in inputs:
        if item is PAUSE or (isinstance(item, Found) and item.error):
            yield item
            continue
        path = item.path if isinstance(item, Found) else os.fspath(item)
        if recursive and Path(path).is_dir():
            yield from walk(path)
        else:
            yield Found(path)


def walk(folder: str, *, deep: bool = True) -> Iterator[Found]:
    """Yield every regular file under a folder, sorted by name at each level, folders in their place.

    Without `deep`, those in the folder itself alone.

    Hidden files and folders (a leading dot), symlinked folders, pipes, sockets and devices are left out; symlinked
    files are not, and a symlink to nothing is yielded too, so that it does not go unnoticed.
    """
    levels = [iter([(folder, True)])]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
        elif not entry[1]:
            yield Found(entry[0])
        elif deep or not levels[1:]:
            try:
                levels.append(_entries(entry[0]))
            except OSError as error:
                reason = error.strerror or str(error)
                yield Found(entry[0], ImageError("unreadable-file", f"cannot list the folder: {reason}"))


def _entries(folder: str) -> Iterator[tuple[str, bool]]:
    """Return (path, is a folder) for what `walk` visits; only the names of one level are held at a time."""
    names, folders = [], set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.add(entry.name)
            elif not (_is_file(entry) or _leads_nowhere(entry)):
                continue
            names.append(entry.name)
    visible = sorted(name for name in names if not name.startswith("."))
    # Path would drop a leading ./ and so change the path that was given.
    return ((os.path.join(folder, name), name in folders) for name in visible)  # noqa: PTH118


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a regular file or a link to one; one that cannot be asked is read, which tells why."""
    try:
        return entry.is_file()
    except OSError:  # links that lead in a circle, or through a folder without permission
        return True


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not Path(entry.path).exists()
