"""The plan of a run: its inputs, cut into numbered parts, kept beside the results so that a run can be resumed.

`_plan/items-0000.parquet` and so on hold the items, a row group a part; `_plan/plan.json`, written last, says that
the plan is whole and how it was made. Readers of Parquet folders pass over names that begin with an underscore.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import islice
from typing import Any, Final

import pyarrow
from pyarrow import parquet

from fmnist_edge.errors import DataError, ImageError
from fmnist_edge.lake.parquet_sources import opened
from fmnist_edge.lake.settings import Settings
from fmnist_edge.lake.sources import Item, Source
from fmnist_edge.lake.storage import Place, kind_of, write_whole

FOLDER: Final = "_plan"
# Inputs of a part, which is what a worker does at once and what is lost when it dies: a second of images of the
# dataset, some ten seconds of photos; and 100 million images make 100,000 files, which a storage lists in a minute.
PART_SIZE: Final = 1000
PARTS_A_FILE: Final = 100

_SCHEMA: Final = pyarrow.schema(
    [
        ("source", pyarrow.int32()),
        ("path", pyarrow.binary()),  # not text: names of files may be no UTF-8
        ("count", pyarrow.int64()),
        ("group", pyarrow.int32()),
        ("first", pyarrow.int64()),
        ("error_code", pyarrow.string()),
        ("error_message", pyarrow.string()),
    ]
)


@dataclass(frozen=True)
class Plan:
    """A whole plan."""

    settings: Settings
    parts: int
    """How many parts there are, numbered from 0."""
    inputs: int
    """How many images, or what was taken for such, they are."""
    part_size: int
    """Inputs of a part; the last has fewer, and one of a Parquet file's row groups may have more."""


def make_plan(destination: Place, sources: Sequence[Source], settings: Settings, part_size: int) -> Plan:
    """Find all inputs, write the plan into the destination and return it. Raises DataError or OutputError."""
    write_whole(destination.child(FOLDER).child("begun"), b"")  # fails now, not after an hour of listing
    found = (item for number, source in enumerate(sources) for item in source.items(number))
    parts = _parts(found, part_size)
    count = inputs = file = 0
    while group := list(islice(parts, PARTS_A_FILE)):
        write_whole(_items_file(destination, file), _encoded(group))
        count, file = count + len(group), file + 1
        inputs += sum(item.count for part in group for item in part)
    plan = Plan(settings, count, inputs, part_size)
    write_whole(_plan_file(destination), json.dumps(asdict(plan), indent=1).encode("ascii"))
    return plan


def read_plan(destination: Place) -> Plan | None:
    """Return the plan that a destination holds, or None. Raises DataError if it cannot be read."""
    place = _plan_file(destination)
    if kind_of(place) == "nothing":
        return None
    try:
        with place.filesystem.open_input_file(place.path) as file:
            facts = json.loads(file.read())
        settings: dict[str, Any] = {name: _hashable(fact) for name, fact in facts["settings"].items()}
        return Plan(**facts | {"settings": Settings(**settings)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{place.shown} is no plan of this version ({error}); choose another --out") from error


def _hashable(fact: Any) -> Any:
    """Return the tuple that JSON made a list of."""
    return tuple(fact) if isinstance(fact, list) else fact


def read_part(destination: Place, number: int) -> list[Item]:
    """Return the items of a part. Raises DataError."""
    with opened(_items_file(destination, number // PARTS_A_FILE)) as file:
        table = file.read_row_group(number % PARTS_A_FILE)
    return [_item(**row) for row in table.to_pylist()]


def _parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    part: list[Item] = []
    count = 0
    for item in items:
        part.append(item)
        count += item.count
        if count >= size:
            yield part
            part, count = [], 0
    if part:
        yield part


def _encoded(parts: Iterable[list[Item]]) -> bytes:
    content = BytesIO()
    with parquet.ParquetWriter(content, _SCHEMA, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pyarrow.Table.from_pylist([_row(item) for item in part], _SCHEMA), len(part))
    return content.getvalue()


def _row(item: Item) -> dict[str, Any]:
    code, message = (item.error.code, str(item.error)) if item.error else (None, None)
    path = item.path.encode("utf-8", "surrogateescape")
    return vars(item) | {"path": path, "error_code": code, "error_message": message}


def _item(error_code: str | None, error_message: str | None, path: bytes, **facts: Any) -> Item:
    error = ImageError(error_code, error_message or "") if error_code else None
    return Item(path=path.decode("utf-8", "surrogateescape"), error=error, **facts)


def _items_file(destination: Place, number: int) -> Place:
    return destination.child(FOLDER).child(f"items-{number:04d}.parquet")


def _plan_file(destination: Place) -> Place:
    return destination.child(FOLDER).child("plan.json")
