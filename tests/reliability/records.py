"""What a long run tried and lost, as JSON in docs/reliability/: `page` turns these into docs/reliability.md."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypedDict

FOLDER: Final = Path(__file__).parents[2] / "docs" / "reliability"
_VERSIONS: Final = ("onnxruntime", "pillow", "numpy")


class Record(TypedDict):
    """One row of the table."""

    order: int
    """Where the row stands."""
    what: str
    """What was tried, for people."""
    tried: int
    unit: str
    """What was counted, in the plural."""
    lost: int
    """How many of them went wrong."""
    seed: int | None
    """Of the random choices; None if there are none."""
    found: dict[str, Any]
    """Other figures of the run."""
    test: str
    """What runs it, as pytest or make name it."""


def write_record(name: str, record: Record) -> None:
    """Keep a run's record, together with the versions that it is about."""
    FOLDER.mkdir(exist_ok=True)
    facts = {
        **record,
        "machine": {"system": platform.system(), "cpu": platform.machine(), "python": platform.python_version()},
        "versions": {package: version(package) for package in _VERSIONS},
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")


def read_records() -> list[dict[str, Any]]:
    """Return all records in the order of their rows."""
    records = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    return sorted(records, key=lambda record: (record["order"], record["what"]))
