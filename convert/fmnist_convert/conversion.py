"""What a conversion gives back: the figures for the table, the broken limits, the files to be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

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
    """Against the original; None for the original itself."""
    accuracy: float
    """0..1."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion measured, and the files it is ready to write."""

    rows: list[Row]
    broken: list[str]
    """The limits of the parity gate that do not hold."""
    files: dict[str, bytes]
    """File name to content; the int8 model last. Without the int8 model and what lies beside it where none holds."""
    notes: list[str] = field(default_factory=list)
    """What a person should know: warnings, nodes left in float."""

    def write(self, folder: Path) -> list[Path]:
        """Write every file into `folder`, each in one step. Raises OutputError."""
        for name, content in self.files.items():
            write_atomically(folder / name, content)
        return [folder / name for name in self.files]


def plain_name(name: str) -> str:
    """Return a model's name if it can be a file's name; raises UsageError."""
    if not name or Path(name).name != name:
        raise UsageError(f"a model's name must be a plain file name, not {name!r}")
    return name
