"""Tables for a terminal: aligned columns."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_bench.bench_report import Report
from fmnist_bench.report.facts import facts, warning
from fmnist_bench.report.tables import Table, tables

_FIRST = 3  # of a suite's tables: goals, contenders, stages; the files hold the rest


def text(report: Report) -> str:
    """Return what a person at a terminal wants to see first."""
    shown = tables(report)[:_FIRST] if report.rows else tables(report)
    known = dict(facts(report))
    parts = [f"{known['run']}\n{known['CPU']}\n{known['versions']}", warning(report)]
    return "\n\n".join(part for part in (*parts, *map(_aligned, shown)) if part) + "\n"


def _aligned(table: Table) -> str:
    rows = [list(table.columns), *(list(row) for row in table.rows)]
    widths = [max((len(row[at]) for row in rows if at < len(row)), default=0) for at in range(len(table.columns))]
    return "\n".join([f"{table.title}", *(_line(row, widths) for row in rows)])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if at == 0 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=False))
    ]
    return "  " + "  ".join(cells).rstrip()
