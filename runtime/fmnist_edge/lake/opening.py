"""Opening the sources and the destination of a run, and refusing what cannot go well."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from fmnist_edge.errors import DataError, UsageError
from fmnist_edge.lake.parquet_sources import parquet_source
from fmnist_edge.lake.sources import ImageFiles, Source
from fmnist_edge.lake.storage import Place, entries, kind_of, open_place

PARQUET: str = ".parquet"


def open_sources(uris: Sequence[str], column: str | None) -> tuple[Source, ...]:
    """Return what the URIs stand for; a folder given with a `column` stands for the Parquet files in it.

    Raises UsageError if a column is named in vain, is missing or is no fitting one, or if a source holds another, whose
    images would come twice; DataError if there is nothing at a URI or it cannot be read.
    """
    sources = [source for uri in uris for source in _sources(open_place(uri), column)]
    if column is not None and all(isinstance(source, ImageFiles) for source in sources):
        raise UsageError("--column has no effect: none of the sources is a Parquet file")
    for one, other in combinations(sources, 2):
        if one.place.holds(other.place) or other.place.holds(one.place):
            raise UsageError(f"{other.place.shown} and {one.place.shown} overlap: images would come twice")
    return tuple(sources)


def _sources(place: Place, column: str | None) -> list[Source]:
    kind = kind_of(place)
    if kind == "nothing":
        raise DataError(f"there is nothing at {place.shown}: no such file, folder or bucket")
    if kind == "file" and place.path.endswith(PARQUET):
        return [parquet_source(place, column)]
    if kind == "folder" and column is not None:
        names = [name for name, kind in entries(place) if kind == "file" and _is_visible_parquet(name)]
        return [parquet_source(place.child(name), column) for name in names]
    return [ImageFiles(place, kind == "folder")]


def _is_visible_parquet(name: str) -> bool:
    return name.endswith(PARQUET) and not name.startswith((".", "_"))


def open_destination(uri: str, sources: Sequence[Source]) -> Place:
    """Return the folder for the results. Raises UsageError if it lies in a source, or is a file; DataError."""
    place = open_place(uri)
    if kind_of(place) == "file":
        raise UsageError(f"{place.shown} is a file: --out is a folder")
    inside = next((source for source in sources if source.place.holds(place)), None)
    if inside:
        raise UsageError(f"{place.shown} lies in {inside.place.shown}: results would be taken for images")
    return place
