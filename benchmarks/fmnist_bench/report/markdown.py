"""bench.md: the report for a job's summary, and for any reader of text."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_bench.bench_report import Report
from fmnist_bench.gate.verdict import Verdict
from fmnist_bench.report.facts import facts, warning
from fmnist_bench.report.tables import Table, tables
from fmnist_bench.report.units import duration


def markdown(report: Report) -> str:
    """Return the whole report."""
    caution = warning(report)
    parts = ["# fmnist-edge: what it costs", *([f"**{caution}**"] if caution else [])]
    parts += [table_text(table) for table in tables(report)]
    parts.append("## About this run\n\n" + "\n".join(f"- {name}: {value}" for name, value in facts(report)))
    return "\n\n".join(parts) + "\n"


def table_text(table: Table, *, level: int = 2) -> str:
    """Return a table with its title and note."""
    head = f"{'#' * level} {table.title}"
    return "\n\n".join(part for part in (head, table.note, rows_text(table)) if part)


def rows_text(table: Table) -> str:
    """Return the rows of a table alone; numbers to the right, the project's own rows bold."""
    lines = [_line(table.columns), _line(["---", *["---:"] * (len(table.columns) - 1)])]
    for number, row in enumerate(table.rows):
        cells = [*row, *[""] * (len(table.columns) - len(row))]
        lines.append(_line([f"**{cells[0]}**", *cells[1:]] if number in table.strong else cells))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def verdicts_text(verdicts: Sequence[Verdict], baseline: str) -> str:
    """Return the comparison with a baseline."""
    rows = [
        [
            one.row,
            duration(one.baseline),
            duration(one.candidate),
            f"{one.ratio:.2f}",
            f"{one.threshold:.2f}",
            one.outcome,
        ]
        for one in verdicts
    ]
    columns = ("", baseline, "this one", "ratio", "may be", "verdict")
    return table_text(Table(f"Against {baseline}", "", columns, rows)) + "\n"
