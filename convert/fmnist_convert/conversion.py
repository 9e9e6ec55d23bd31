"""What a conversion gives back: the figures for the table, the broken limits, the files to be written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmnist_convert.parity import Parity
from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import UsageError


@dataclass(frozen=True)
class Row:
    """One line of the conversion's table."""

    title: str
    size: int
    """Bytes."""
    parity: Parity | None
    """Against Keras on the test images; None for Keras itself."""
    accuracy: float
    """On the test images, 0..1."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion measured, and the files it is ready to write."""

    rows: list[Row]
    broken: list[str]
    """The limits of the parity gate that do not hold."""
    files: dict[str, bytes]
    """File name to content; the int8 model last."""

    def write(self, folder: Path) -> list[Path]:
        """Write every file into `folder`, each in one step. Raises OutputError."""
        for name, content in self.files.items():
            write_atomically(folder / name, content)
        return [folder / name for name in self.files]


def as_json(content: dict[str, Any]) -> bytes:
    """Return a JSON file's bytes: sorted keys, so that the same facts give the same bytes."""
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def plain_name(name: str) -> str:
    """Return a model's name if it can be a file's name; raises UsageError."""
    if not name or Path(name).name != name:
        raise UsageError(f"a model's name must be a plain file name, not {name!r}")
    return name
