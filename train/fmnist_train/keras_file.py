"""The .keras file: Keras's own archive, made reproducible, with the training's record inside."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

RECORD_MEMBER: Final = "training.json"
_OBJECT: Final = "shared_object_id"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip archive can hold


def keras_file(model: Any, record: str) -> bytes:
    """Return the bytes of a .keras file of `model`, with `record` (JSON) as its member `training.json`.

    Plain `keras.models.load_model` reads it. The same weights and record give the same bytes: times in the
    archive are fixed, Keras's `date_saved` is left out, its object numbers (memory addresses) are replaced by
    1, 2, 3 in the order of the file, and nothing is compressed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        members = _read_members(path)
    members["metadata.json"] = _without_date(members["metadata.json"])
    members["config.json"] = _renumbered(members["config.json"])
    members[RECORD_MEMBER] = record.encode()
    return _archive(members)


def read_record(path: Path) -> dict[str, Any]:
    """Return the record inside a .keras file written by `keras_file`. Raises KeyError if it holds none."""
    with zipfile.ZipFile(path) as archive:
        record: dict[str, Any] = json.loads(archive.read(RECORD_MEMBER))
    return record


def _read_members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _without_date(metadata: bytes) -> bytes:
    content = json.loads(metadata)
    content.pop("date_saved", None)
    return json.dumps(content).encode()


def _renumbered(config: bytes) -> bytes:
    """Return a configuration whose `shared_object_id`s count the objects; equal ones stay equal."""
    numbers: dict[int, int] = {}

    def renumber(pairs: dict[str, Any]) -> dict[str, Any]:
        if _OBJECT in pairs:
            pairs[_OBJECT] = numbers.setdefault(pairs[_OBJECT], len(numbers) + 1)
        return pairs

    return json.dumps(json.loads(config, object_hook=renumber)).encode()


def _archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(name, date_time=_EPOCH)
            member.create_system = 3  # the same on every system
            archive.writestr(member, members[name])
    return buffer.getvalue()
