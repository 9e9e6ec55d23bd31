"""The tables of a report, as text: Markdown and HTML show the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fmnist_bench.bench_report import Entrant, Goal, Report
from fmnist_bench.figures import FIGURES, OTHERS
from fmnist_bench.report.units import digits, duration, percent, rate, size
from fmnist_bench.row import Row


@dataclass(frozen=True)
class Table:
    """A titled table. The first column names its rows."""

    title: str
    note: str
    """What to know before reading it; may be empty."""
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: Sequence[int] = ()
    """Numbers of the rows that are this project's."""


def tables(report: Report) -> list[Table]:
    """Return every table of a report that has rows."""
    found = [
        _goals(report.goals),
        _contenders(report),
        _stages(report),
        _microseconds(report),
        _folders(report),
        _sizes(report),
        _device(report),
        _everything(report),
    ]
    return [table for table in found if table.rows]


def _goals(goals: Iterable[Goal]) -> Table:
    return Table(
        "Goals",
        "Ratios of medians within this run.",
        ("goal", "measured", "wanted", "met"),
        [
            (
                one.title,
                digits(one.value),
                f"{'≥' if one.at_least else '≤'} {one.goal:,g}",
                "yes" if one.reached else "no",
            )
            for one in goals
        ],
    )


_MAIN: Final[tuple[tuple[str, str, Callable[[Row], str]], ...]] = (
    ("one image", "one-image", lambda row: duration(row.p50)),
    ("p99", "one-image", lambda row: duration(row.p99)),
    ("one PNG", "png-to-label", lambda row: duration(row.p50)),
    ("images/s, 1 thread", "ten-thousand", lambda row: rate(row.images_per_second)),
)


def _contenders(report: Report) -> Table:
    cores = report.machine["cores"]
    all_cores = (f"images/s, {cores} threads",) if cores > 1 else ()
    columns = ("", "accuracy", "model", *(title for title, _, _ in _MAIN), *all_cores, "cold start", "memory")
    rows = [_contender(report, one, cores) for one in report.contenders()]
    ours = [number for number, one in enumerate(report.contenders()) if one.is_ours]
    note = (
        "The same weights on the same test images. One image and many: the model alone, on inputs that were scaled "
        "before. One PNG: decoded by Pillow, but for fmnist-edge, which does it itself. Cold start: the shortest "
        "program that prints the label."
    )
    return Table("Contenders", note if rows else "", columns, rows, ours)


def _contender(report: Report, one: Entrant, cores: int) -> list[str]:
    cells = [one.title, percent(one.accuracy), size(one.model_bytes)]
    if one.status != "measured":
        return [*cells, one.status]
    for _, figure, form in _MAIN:
        row = report.row(figure, one.key)
        cells.append(form(row) if row else "-")
    if cores > 1:
        many = report.row("ten-thousand", one.key, cores)
        cells.append(rate(many.images_per_second if many else None))
    start = report.row("cold-start", one.key)
    return [*cells, duration(start.p50 if start else None), size(start.peak_bytes if start else None)]


def _stages(report: Report) -> Table:
    figures = ("png-to-label", "png-decode", "png-prepare", "png-run")
    rows = []
    for one in report.entrants:
        found = [report.row(figure, one.key) for figure in figures]
        if found[0]:
            rows.append([one.title, *(duration(row.p50 if row else None) for row in found)])
    note = "Each stage is timed by itself; their sum is a little off the whole, which includes what lies between."
    return Table("From the bytes of a PNG file to the label", note, ("", "whole", "decode", "prepare", "run"), rows)


_STEPS: Final = (
    ("floor", "onnxruntime itself: a graph that only copies"),
    ("int8-hidden", "Flatten and the product with 784x128 int8 weights"),
    ("int8-logits", "the product with 128x10 int8 weights"),
    ("int8-bound", "Softmax"),
    ("int8-classifier", "Classifier.predict: checks, copies in and out"),
)


def _microseconds(report: Report) -> Table:
    """Say where one image's time goes, by what each further step adds."""
    found = {key: row.p50 for key, _ in _STEPS if (row := report.row("one-image", key))}
    if len(found) < len(_STEPS):
        return Table("Where the time of one image goes", "", (), [])
    rows, before = [], 0.0
    for key, title in _STEPS:
        rows.append((title, duration(max(0.0, found[key] - before)), duration(found[key])))
        before = found[key]
    note = (
        "The same buffers run through more and more of the graph; each step is what it adds to the median. What is "
        "left against LiteRT is what onnxruntime takes for a call and for each node, which an application cannot "
        "change: the graph has no node to spare, and its buffers are bound."
    )
    return Table("Where the time of one image goes", note, ("", "adds", "together"), rows)


def _folders(report: Report) -> Table:
    found = [row for row in report.rows if row.figure == "folder"]
    rows = [
        [
            f"{row.images:,} files: {_title(report, row)}",
            str(row.threads),
            duration(row.p50),
            rate(row.images_per_second),
            duration(row.p50 / row.images),
            size(row.peak_bytes),
        ]
        for row in sorted(found, key=lambda row: (row.images, row.contender, row.threads))
    ]
    note = "Whole processes: `fmnist-edge classify -r`, and Pillow's own open, orient and to-array of the same files."
    return Table("Folders of PNG files", note, ("", "processes", "time", "files/s", "a file", "peak memory"), rows)


def _sizes(report: Report) -> Table:
    return Table("Sizes", "", ("", "size", ""), [(one.title, size(one.size), one.note) for one in report.sizes])


def _device(report: Report) -> Table:
    note = (
        "Measured by the runtime alone (`fmnist-edge bench --runtime-only`), beside yardsticks that need no part of it."
    )
    return Table("The runtime on this machine", note, _COLUMNS, [_row(report, row) for row in report.device])


def _everything(report: Report) -> Table:
    note = (
        "p50 is the median of the processes' medians, p90 and p99 the medians of their percentiles; of whole processes "
        "those of all runs. Spread is (largest - smallest median) / p50."
    )
    return Table("All rows", note, _COLUMNS, [_row(report, row) for row in report.rows])


_COLUMNS: Final = ("", "contender", "threads", "p50", "p90", "p99", "spread", "processes", "runs")


def _row(report: Report, row: Row) -> list[str]:
    what = FIGURES[row.figure].title + (f", {row.images:,}" if row.figure == "folder" else "")
    times = (duration(row.p50), duration(row.p90), duration(row.p99))
    spread = f"{100 * row.spread:.0f} %"
    return [what, _title(report, row), str(row.threads), *times, spread, str(len(row.medians)), f"{row.count:,}"]


def _title(report: Report, row: Row) -> str:
    titles = {one.key: one.title for one in report.entrants}
    return (
        titles.get(row.contender) or OTHERS.get(row.contender) or {"int8-classifier": "fmnist-edge int8"}[row.contender]
    )
