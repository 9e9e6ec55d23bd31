"""The results of a run: one Parquet file a part, whole or absent, under a name that tells the part's number.

Whoever writes a part again, because a worker died or a run was stopped, writes the same file: nothing comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pyarrow
from pyarrow import compute, dataset, parquet

from fmnist_edge.batch import FIELDS
from fmnist_edge.errors import DataError
from fmnist_edge.lake.storage import Place, entries, reason, write_whole

_TYPES: Final = {"index": pyarrow.int8(), "confidence": pyarrow.float64()}
SCHEMA: Final = pyarrow.schema(
    [*((name, _TYPES.get(name, pyarrow.string())) for name in FIELDS), ("source", pyarrow.string())]
)
"""The columns of `classify --format csv`, and the source that the image came from."""

_PART: Final = re.compile(r"part-(\d{6,})\.parquet")
_DEBRIS: Final = ".fmnist-edge-*.tmp"  # as atomic.py names what has no whole content yet


def write_part(destination: Place, number: int, rows: list[dict[str, Any]]) -> None:
    """Write the rows of a part. Raises OutputError."""
    content = BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows, SCHEMA), content, compression="zstd")
    write_whole(_file(destination, number), content.getvalue())


def written_parts(destination: Place) -> set[int]:
    """Return the numbers of the parts that are there. Raises DataError."""
    names = (_PART.fullmatch(name) for name, kind in entries(destination) if kind == "file")
    return {int(match[1]) for match in names if match}


def count_failed(destination: Place, parts: Iterable[int]) -> int:
    """Return how many rows of some parts are errors. Raises DataError."""
    files = [_file(destination, number).path for number in sorted(parts)]
    if not files:
        return 0
    try:
        rows = dataset.dataset(files, schema=SCHEMA, filesystem=destination.filesystem, format="parquet")
        return int(rows.count_rows(filter=compute.field("error_code").is_valid()))
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"cannot read the results in {destination.shown}: {reason(error)}") from error


def sweep(destination: Place) -> None:
    """Remove what workers left behind that were killed while they wrote; only files on disks can be left so."""
    if destination.is_local:
        for path in Path(destination.path).glob(_DEBRIS):
            path.unlink(missing_ok=True)


def mark_complete(destination: Place) -> None:
    """Say that all parts are there, with the empty file that Spark and Hadoop know. Raises OutputError."""
    write_whole(destination.child("_SUCCESS"), b"")


def _file(destination: Place, number: int) -> Place:
    return destination.child(f"part-{number:06d}.parquet")
