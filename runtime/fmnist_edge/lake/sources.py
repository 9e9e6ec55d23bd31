"""What SOURCE stands for: image files, or a Parquet file with a column of their paths or of their bytes.

A source is asked twice: by the driver for its items, which the plan keeps, and by a worker for the pictures of some of
these items.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from fmnist_edge.batch import walk
from fmnist_edge.errors import ImageError
from fmnist_edge.lake.storage import Place, entries

Picture: TypeAlias = str | bytes | Place | ImageError
"""A local path, the bytes of an image file, a place from which to fetch them, or why there is neither."""


@dataclass(frozen=True)
class Item:
    """What the plan keeps of one file, or of one group of a Parquet file's rows."""

    source: int
    """Which of the sources it belongs to."""
    path: str
    """As results show it, but for escapes; empty for a group of rows."""
    count: int = 1
    """How many images it is."""
    group: int | None = None
    """Of a Parquet file with bytes: the number of the row group."""
    first: int = 0
    """Of a Parquet file: the number of the (first) row."""
    error: ImageError | None = None
    """Why it cannot be read, where that is known already."""


class Source(Protocol):
    """A source of images."""

    @property
    def place(self) -> Place:
        """Where it is."""

    def items(self, number: int) -> Iterator[Item]:
        """Yield all items, always in the same order; `number` is that of this source. Raises DataError."""

    def pictures(self, item: Item) -> Iterator[tuple[str, Picture]]:
        """Yield path and picture of each image of an item."""


@dataclass(frozen=True)
class ImageFiles:
    """An image file, or a folder: every file in it, as `classify -r` visits them."""

    place: Place
    is_folder: bool

    def items(self, number: int) -> Iterator[Item]:
        """Yield an item a file."""
        if not self.is_folder:
            yield Item(number, self.place.shown)
            return
        for path, error in _local_files(self.place) if self.place.is_local else _remote_files(self.place):
            yield Item(number, path, error=error)

    def pictures(self, item: Item) -> Iterator[tuple[str, Picture]]:
        """Yield the path and the place of the file."""
        yield item.path, item.error or self._picture(item.path)

    def _picture(self, path: str) -> Picture:
        rest = path[len(self.place.shown) :].lstrip("/")
        place = self.place.child(rest) if self.is_folder else self.place
        return place.path if place.is_local else place


def _local_files(folder: Place) -> Iterator[tuple[str, ImageError | None]]:
    for found in walk(folder.path):
        yield folder.child(os.path.relpath(found.path, folder.path)).shown, found.error


def _remote_files(folder: Place) -> Iterator[tuple[str, ImageError | None]]:
    """Yield the files of a folder and of those in it, by the rules of `walking.walk`.

    A folder at a time is listed and held. One that cannot be listed is no row of the result but raises DataError: on
    a network that is a fault that passes, and the files in it would be lost.
    """
    for name, kind in entries(folder):
        if name.startswith("."):
            continue
        place = folder.child(name)
        if kind == "folder":
            yield from _remote_files(place)
        else:
            yield place.shown, None
