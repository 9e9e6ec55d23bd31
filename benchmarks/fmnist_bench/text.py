"""Figures and tables as text: units, percent, aligned columns, Markdown, templates."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import click


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Return rows as lines with their columns aligned, the columns in `left` to the left; styled cells are allowed."""
    widths = [max(len(click.unstyle(row[at])) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(_padded(cell, widths[at], at in left) for at, cell in enumerate(row)).rstrip() for row in rows]


def _padded(cell: str, width: int, left: bool) -> str:
    space = " " * (width - len(click.unstyle(cell)))
    return cell + space if left else space + cell


def markdown_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown, numbers to the right."""
    from tabulate import tabulate

    align = ["left", *["right"] * (len(columns) - 1)]
    return str(tabulate(rows, columns, tablefmt="pipe", colalign=align, disable_numparse=True))


def duration(seconds: float | None) -> str:
    """Return seconds as `4.15 µs`, `12.3 ms` or `1.20 s`, with a no-break space; a dash for None."""
    return _scaled(seconds, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")))


def size(count: float | None) -> str:
    """Return bytes as `108 kB` or `61.2 MB`; a dash for None."""
    return _scaled(count, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def _scaled(value: float | None, units: Sequence[tuple[float, str]]) -> str:
    if value is None:
        return "-"
    scale, unit = next((pair for pair in units if value >= pair[0]), units[-1])
    return f"{digits(value / scale)}\u00a0{unit}"


def rate(per_second: float) -> str:
    """Return a throughput as `37,000`; a dash for NaN."""
    return "-" if math.isnan(per_second) else f"{round(per_second, 2 - int(math.log10(per_second))):,.0f}"


def percent(share: float | None, decimals: int = 2) -> str:
    """Return a share, 0..1, as `89.56 %`; a dash for None."""
    return "-" if share is None else f"{100 * share:.{decimals}f}\u00a0%"


def digits(value: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def rendered(template: str, **values: object) -> str:
    """Return one of this package's jinja templates filled in; HTML is escaped. Needs jinja2."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values, percent=percent).rstrip() + "\n"
