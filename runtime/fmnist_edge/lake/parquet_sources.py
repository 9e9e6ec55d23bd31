"""Parquet files as sources: a column of paths, or a column of encoded images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import pyarrow
from pyarrow import parquet, types

from fmnist_edge.errors import DataError, ImageError, UsageError
from fmnist_edge.lake.sources import Item, Picture, Source
from fmnist_edge.lake.storage import Place, open_place, reason

ROWS_AT_ONCE: Final = 64  # of a column of images; with photos of 3 MB, 200 MB are held


@dataclass(frozen=True)
class PathColumn:
    """A column of paths or URIs. A path that is not absolute is one beside the Parquet file."""

    place: Place
    column: str

    def items(self, number: int) -> Iterator[Item]:
        """Yield an item a row."""
        row = 0
        with opened(self.place) as file:
            for batch in file.iter_batches(columns=[self.column]):
                for path in batch.column(0).to_pylist():
                    yield self._item(number, path, row)
                    row += 1

    def _item(self, number: int, path: str | None, row: int) -> Item:
        if path:
            return Item(number, path, first=row)
        error = ImageError("missing-file", f"no path in the column {self.column!r}")
        return Item(number, f"{self.place.shown}#{row}", first=row, error=error)

    def pictures(self, item: Item) -> Iterator[tuple[str, Picture]]:
        """Yield the path as the column has it, and the place it stands for."""
        yield item.path, item.error or self._picture(item.path)

    def _picture(self, path: str) -> Picture:
        place = self._place(path)
        return place.path if place.is_local else place

    def _place(self, path: str) -> Place:
        scheme, separator, key = path.partition("://")
        if not separator:
            folder = self.place.path.rpartition("/")[0]
            return open_place(path) if path.startswith("/") else Place(self.place.filesystem, f"{folder}/{path}", path)
        if scheme not in _BUCKETS:
            return open_place(path)
        if scheme == self.place.shown.partition("://")[0]:
            return Place(self.place.filesystem, key, path)  # by the credentials and options of the table's own URI
        return Place(_bucket(f"{scheme}://{key.partition('/')[0]}").filesystem, key, path)


_BUCKETS: Final = ("s3", "gs", "gcs")  # schemes of which what follows is bucket/key, taken as it is, not unquoted


@lru_cache(maxsize=64)
def _bucket(uri: str) -> Place:
    """Open a bucket, once: it may cost a request."""
    return open_place(uri)


@dataclass(frozen=True)
class BytesColumn:
    """A column of encoded images. Their paths are the Parquet file's with #0, #1, ... for the row."""

    place: Place
    column: str

    def items(self, number: int) -> Iterator[Item]:
        """Yield an item a row group: what lies within one is read at once by a single worker."""
        first = 0
        with opened(self.place) as file:
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                if count:
                    yield Item(number, "", count, group, first)
                first += count

    def pictures(self, item: Item) -> Iterator[tuple[str, Picture]]:
        """Yield the images of a row group, a few of them held at a time."""
        row = item.first
        with opened(self.place) as file:
            groups = [item.group]
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=groups, columns=[self.column]):
                for content in batch.column(0).to_pylist():
                    missing = ImageError("missing-file", f"no image in the column {self.column!r}")
                    yield f"{self.place.shown}#{row}", missing if content is None else content
                    row += 1


def parquet_source(place: Place, column: str | None) -> Source:
    """Return the source that a Parquet file is, by the type of its column, the only fitting one if none is named.

    Raises UsageError if the column is missing, of another type, or must be named; DataError for a damaged file.
    """
    with opened(place) as file:
        schema = file.schema_arrow
    fitting = {field.name: field.type for field in schema if _is_text(field.type) or _is_bytes(field.type)}
    if column is None and len(fitting) == 1:
        column = next(iter(fitting))
    if column is None or column not in fitting:
        raise UsageError(_wrong_column(place, column, list(fitting)))
    kind = BytesColumn if _is_bytes(fitting[column]) else PathColumn
    return kind(place, column)


def _wrong_column(place: Place, column: str | None, fitting: list[str]) -> str:
    there = f"it has {', '.join(fitting)}" if fitting else "it has none"
    if column is None:
        return f"{place.shown}: name the column of paths or of encoded images with --column; {there}"
    return f"{place.shown}: no column {column!r} of paths or of encoded images; {there}"


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_bytes(kind: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


@contextmanager
def opened(place: Place) -> Iterator[Any]:
    """Give a Parquet file. Raises DataError if it is none, is damaged, or cannot be read."""
    try:
        # Not buffered ahead: that would hold a whole column of a row group at once.
        with place.filesystem.open_input_file(place.path) as file:
            yield parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"cannot read {place.shown} as a Parquet file: {reason(error)}") from error
