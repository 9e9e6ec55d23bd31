"""Writes docs/reliability.md from the records of the long runs: `make reliability`. Nothing in it is typed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.reliability.records import FOLDER, read_records

PAGE: Final = FOLDER.parent / "reliability.md"
_HEAD: Final = """\
# What was fed to it, and what broke

Written by `make reliability` from the records in [reliability/](reliability/), which the long tests keep: `make stress`
and `make fuzz`. Each row is a test that fails when its protection is taken away: [which protection, and which
test](reliability-protections.md). Most have a quick form that runs with all other tests.

| what was tried | how often | lost | seed | run by |
| --- | ---: | ---: | ---: | --- |
"""


def page() -> str:
    """Return the page."""
    records = read_records()
    rows = "".join(_row(record) for record in records)
    details = "".join(_detail(record) for record in records)
    return f"{_HEAD}{rows}\n{_verdict(records)}\n\n## Details\n\n{details}\n{_machines(records)}\n"


def _row(record: dict[str, Any]) -> str:
    seed = "-" if record["seed"] is None else record["seed"]
    lost = record["lost"] or "nothing"
    return f"| {record['what']} | {record['tried']:,} {record['unit']} | {lost} | {seed} | `{record['test']}` |\n"


def _verdict(records: list[dict[str, Any]]) -> str:
    lost = sum(record["lost"] for record in records)
    tried = sum(record["tried"] for record in records)
    return f"In all {tried:,} tries: {'nothing was lost' if not lost else f'{lost:,} were lost'}."


def _detail(record: dict[str, Any]) -> str:
    found = "; ".join(f"{name}: {_shown(value)}" for name, value in record["found"].items())
    return f"- **{record['what']}**: {found}.\n" if found else ""


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _machines(records: list[dict[str, Any]]) -> str:
    machines = {_machine(record) for record in records}
    return f"Run on {'; '.join(sorted(machines))}."


def _machine(record: dict[str, Any]) -> str:
    machine = record["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return f"{machine['system']} {machine['cpu']}, Python {machine['python']}, {versions}"


def main() -> None:
    """Write the page."""
    Path(PAGE).write_text(page())


if __name__ == "__main__":
    main()
