"""What the records of both parts of the photo model share, and how the parts are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fmnist_edge.atomic import write_atomically
from fmnist_edge.dataset import SHA256
from fmnist_train.keras_file import keras_file
from fmnist_train.record import record_text, versions

SCHEMA_VERSION: Final = 1  # raised when a key changes its meaning


def begin_record(part: str, recipe: str, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return what a record begins with; no time stamps and no paths."""
    return {
        "schema_version": SCHEMA_VERSION,
        "part": part,
        "recipe": recipe,
        "settings": {key: value for key, value in settings.items() if key != "name"},
        "seed": seed,
        "versions": versions(),
        "dataset": {"name": "Fashion-MNIST", "sha256": dict(SHA256)},
    }


def write_part(model: Any, record: dict[str, Any], output: Path, name: str, record_name: str) -> tuple[Path, ...]:
    """Write the record, then the .keras file with the record inside, each in one step; return both paths."""
    text = record_text(record)
    paths = (output / name, output / record_name)
    write_atomically(paths[1], text)
    write_atomically(paths[0], keras_file(model, text))
    return paths
