"""The page of what was removed and which tests noticed."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.reliability.protections.removing import ROOT, Removal, read_removals

PAGE: Final = ROOT / "docs" / "reliability-protections.md"
KEPT: Final = ROOT / "docs" / "reliability" / "protections" / "results.json"
_HEAD: Final = """\
# What was taken away, and which test failed

Written by `make protections`, which takes the protections out of a copy of the checkout, one at a time, and runs the
tests that are meant for them. With all of them in their places, the same tests pass. The lines that are removed stand
in [tests/reliability/protections/](../tests/reliability/protections/). Two things are not in the table: that a row is
on the disk when the power fails (`fsync`), which no test here can show, and what keeps processes apart that run at
once: they share nothing, so there is nothing to take away.

| what for | protection removed | tests that failed (two at most) | tried |
| --- | --- | --- | --- |
"""


def read_results() -> dict[str, Any]:
    """Return what came of each removal, by row and protection."""
    results: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return results


def page() -> str:
    """Return the page."""
    results = read_results()
    return _HEAD + "".join(_row(removal, results.get(removal.name)) for removal in read_removals())


def _row(removal: Removal, result: dict[str, Any] | None) -> str:
    failed, tried = (result["failed"], result["tried"]) if result else ([], "not yet")
    shown = ", ".join(f"`{name}`" for name in failed) or "none"
    return f"| {removal.row} | {removal.protection} | {shown} | {tried} |\n"
