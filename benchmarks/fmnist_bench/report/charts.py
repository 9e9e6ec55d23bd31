"""The charts: latency, throughput, cold start, accuracy against size. Narrow, so that a phone shows them whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from fmnist_bench.bench_report import Entrant, Report
from fmnist_bench.plots import ACCENT, OTHER, RIGHT, Plot
from fmnist_bench.report.units import duration, rate
from fmnist_bench.row import Row

WIDTH: Final = 4.6  # inches: at a phone's 360 pixels, letters of 10 points are still 11 pixels high
_BAR: Final = 0.31  # inches of height for each contender
_HEAD: Final = 1.0


def charts(report: Report) -> dict[str, tuple[Plot, str]]:
    """Return name to (plot, what it shows in words), of those that have at least two contenders."""
    found: dict[str, tuple[Plot, str]] = {}
    for name, figure, title, form, value in _BARS:
        entries = _entries(report, figure, value)
        if len(entries) > 1:
            words = "; ".join(f"{one.title} {form(value(row))}" for one, row in entries)
            found[name] = (_bars(title, entries, value, form), f"{title}: {words}")
    scatter = [one for one in report.contenders() if one.model_bytes and one.accuracy and "session" not in one.key]
    if len(scatter) > 1:
        words = "; ".join(f"{one.title} {100 * (one.accuracy or 0):.2f} %" for one in scatter)
        found["accuracy"] = (_accuracy(scatter), f"Accuracy against model size: {words}")
    return found


def _p50(row: Row) -> float:
    return row.p50


def _per_second(row: Row) -> float:
    return row.images_per_second


_BARS: Final[tuple[tuple[str, str, str, Callable[[float | None], str], Callable[[Row], float]], ...]] = (
    ("latency", "one-image", "One image in memory, model alone", duration, _p50),
    ("png", "png-to-label", "One PNG, from bytes to label", duration, _p50),
    ("throughput", "ten-thousand", "Images/s, 10,000 in memory, one thread", rate, _per_second),
    ("cold-start", "cold-start", "Cold start, from nothing to a label", duration, _p50),
)


def _entries(report: Report, figure: str, value: Callable[[Row], float]) -> list[tuple[Entrant, Row]]:
    """Return who was measured, the best last, as a horizontal chart draws it first from below."""
    found = [(one, report.row(figure, one.key)) for one in report.contenders()]
    measured = [(one, row) for one, row in found if row is not None]
    sign = 1 if value is _per_second else -1
    return sorted(measured, key=lambda pair: sign * value(pair[1]))


def _bars(
    title: str,
    entries: Sequence[tuple[Entrant, Row]],
    value: Callable[[Row], float],
    form: Callable[[float | None], str],
) -> Plot:
    """Return horizontal bars on a logarithmic axis, a line from each to its p99 where that is a time."""

    def draw(figure: Figure) -> None:
        axes: Any = figure.subplots()
        values = [value(row) for _, row in entries]
        colours = [RIGHT if one.is_ours else OTHER for one, _ in entries]
        start = 10 ** math.floor(math.log10(min(values)) - 0.3)
        places = range(len(entries))
        axes.barh(places, [one - start for one in values], left=start, color=colours, height=0.62)
        if value is _p50:
            for place, (_, row) in enumerate(entries):
                axes.plot([row.p50, row.p99], [place, place], color=ACCENT, linewidth=1.5, solid_capstyle="butt")
        ends = [max(value(row), row.p99) if value is _p50 else value(row) for _, row in entries]
        for place, end in enumerate(ends):
            axes.text(end * 1.15, place, form(values[place]), va="center", fontsize=9)
        axes.set_xscale("log")
        axes.set_xlim(start, max(ends) * 10**1.3)
        axes.set_yticks(places, [one.title for one, _ in entries])
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda tick, _: form(tick) if tick >= start else "")
        axes.tick_params(axis="x", labelsize=8)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", linewidth=0.4, alpha=0.5)
        figure.suptitle(title, fontsize=11, fontweight="bold")
        if value is _p50:
            figure.supxlabel("bar: median; line: to p99; logarithmic", fontsize=8)

    return Plot(WIDTH, _HEAD + _BAR * len(entries), draw)


def _accuracy(entrants: Sequence[Entrant]) -> Plot:
    """Return accuracy against size; those of equal accuracy and about equal size share a point."""
    points: list[list[Entrant]] = []
    for one in sorted(entrants, key=lambda one: one.model_bytes or 0):
        near = (point for point in points if _is_near(one, point[0]))
        point = next(near, None)
        if point is None:
            points.append([one])
        else:
            point.append(one)

    def draw(figure: Figure) -> None:
        axes: Any = figure.subplots()
        for sharing in points:
            kilobytes, accuracy = (sharing[0].model_bytes or 0) / 1000, sharing[0].accuracy or 0
            colour = RIGHT if any(one.is_ours for one in sharing) else OTHER
            axes.scatter(kilobytes, 100 * accuracy, s=45, color=colour, zorder=3)
            names = "\n".join(one.title for one in sharing)
            right = kilobytes > 250
            offset, side = ((-9, 0), "right") if right else ((9, 0), "left")
            axes.annotate(
                names, (kilobytes, 100 * accuracy), offset, textcoords="offset points", ha=side, va="center", fontsize=8
            )
        axes.set(xlabel="model file, kB", ylabel="accuracy, %", xlim=(0, None))
        axes.yaxis.set_major_formatter("{x:.2f}")
        axes.margins(x=0.1, y=1.2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(linewidth=0.4, alpha=0.5)
        figure.suptitle("Accuracy against size", fontsize=11, fontweight="bold")

    return Plot(WIDTH, 3.6, draw)


def _is_near(one: Entrant, other: Entrant) -> bool:
    """Tell whether two contenders would hide each other."""
    sizes = (one.model_bytes or 1, other.model_bytes or 1)
    return one.accuracy == other.accuracy and max(sizes) < 1.2 * min(sizes)
