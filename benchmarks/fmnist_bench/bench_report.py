"""What a run found out, and its form as bench.json (docs/benchmarks.md describes it)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fmnist_bench.row import Row, row_from_facts
from fmnist_edge.errors import UsageError

SCHEMA_VERSION: Final = 1  # raised when a reader of the old form would misread the new one


@dataclass(frozen=True)
class Entrant:
    """A contender as the report lists it."""

    key: str
    title: str
    status: str
    """"measured", or why not."""
    is_ours: bool
    is_part: bool = False
    """Whether it only shows where the time of another goes."""
    accuracy: float | None = None
    """On the 10,000 test images, 0..1."""
    model_bytes: int | None = None


@dataclass(frozen=True)
class Size:
    """How large something is."""

    title: str
    size: int
    """Bytes."""
    note: str = ""


@dataclass(frozen=True)
class Goal:
    """A ratio that the project set itself."""

    title: str
    value: float
    """What was measured."""
    goal: float
    at_least: bool = True
    """Whether `value` should be at least `goal`, or at most."""

    @property
    def reached(self) -> bool:
        """Whether the goal was reached in this run."""
        return self.value >= self.goal if self.at_least else self.value <= self.goal


@dataclass(frozen=True)
class Report:
    """A whole run."""

    plan: str
    """"full", "quick" or "device"."""
    date: str
    """ISO 8601, UTC."""
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    model: Mapping[str, Any]
    dataset: Mapping[str, Any]
    not_measured: Sequence[str]
    device: Sequence[Row]
    """The runtime alone, with yardsticks beside it."""
    entrants: Sequence[Entrant] = ()
    rows: Sequence[Row] = ()
    """All contenders."""
    sizes: Sequence[Size] = ()
    goals: Sequence[Goal] = field(default_factory=tuple)

    def contenders(self) -> list[Entrant]:
        """Return those that compete."""
        return [one for one in self.entrants if not one.is_part]

    def row(self, figure: str, contender: str, threads: int = 1, images: int | None = None) -> Row | None:
        """Return a contender's row of a figure, if there is one."""
        return next(
            (
                row
                for row in self.rows
                if (row.figure, row.contender, row.threads) == (figure, contender, threads)
                and images in (None, row.images)
            ),
            None,
        )

    def as_json(self) -> str:
        """Return the text of bench.json."""
        facts: dict[str, Any] = {"version": SCHEMA_VERSION, **vars(self)}
        facts |= {"device": [row.as_facts() for row in self.device], "rows": [row.as_facts() for row in self.rows]}
        facts |= {name: [vars(one) for one in facts[name]] for name in ("entrants", "sizes")}
        facts["goals"] = [{**vars(goal), "reached": goal.reached} for goal in self.goals]
        return json.dumps(facts, indent=1) + "\n"


def read_report(path: Path) -> Report:
    """Read a bench.json. Raises UsageError if it cannot be read or is none of this version."""
    try:
        facts = json.loads(path.read_bytes())
        if facts.pop("version") != SCHEMA_VERSION:
            raise UsageError(f"{path} is a bench.json of another version: measure it again")
        return _from_facts(facts)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is no bench.json ({error!r}): make one with `fmnist-edge bench -o DIR`") from error


def _from_facts(facts: dict[str, Any]) -> Report:
    for goal in facts["goals"]:
        goal.pop("reached")
    made = {
        "device": [row_from_facts(one) for one in facts["device"]],
        "rows": [row_from_facts(one) for one in facts["rows"]],
        "entrants": [Entrant(**one) for one in facts["entrants"]],
        "sizes": [Size(**one) for one in facts["sizes"]],
        "goals": [Goal(**one) for one in facts["goals"]],
    }
    return Report(**{**facts, **made})
