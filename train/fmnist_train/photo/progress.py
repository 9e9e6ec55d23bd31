"""How trainings of the photo model say how far they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Report: TypeAlias = Callable[[str], None]
"""Called with a line for people, as the work goes on."""
OnCount: TypeAlias = Callable[[int], None]
"""Called with the number of things done so far."""
OnPart: TypeAlias = Callable[[int, float], None]
"""Called after each tenth of a fit with its number, counted from 1, and its mean loss."""

PARTS: Final = 10  # of a fit, each with a line and a loss in the record
LINES: Final = 4  # while things are drawn


def counting(report: Report, what: str, total: int) -> OnCount:
    """Return what reports `LINES` times as `total` things are done one after the other."""
    said = 0

    def on_count(count: int) -> None:
        nonlocal said
        if count * LINES // total > said:
            said = count * LINES // total
            report(f"drew {count:,} of {total:,} {what}")

    return on_count


def fitting(report: Report, what: str, steps: int) -> OnPart:
    """Return what reports each part of a fit of so many steps."""
    return lambda part, loss: report(f"{what}: step {steps * part // PARTS:,} of {steps:,}, loss {loss:.4f}")
