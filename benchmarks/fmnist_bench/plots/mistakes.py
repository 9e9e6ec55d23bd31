"""The errors that a model is surest of."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from fmnist_bench.evaluation.answers import Answers
from fmnist_bench.plots.canvas import Plot, show_pixels
from fmnist_edge.contract import LABELS

COLUMNS: Final = 5


def surest_mistakes(answers: Answers, count: int) -> list[int]:
    """Return the rows of at most `count` wrong answers, the most confident first."""
    wrong = np.flatnonzero(~answers.right())
    order = np.argsort(-answers.confidence[wrong], kind="stable")[:count]
    return [int(row) for row in wrong[order]]


def caption(answers: Answers, row: int) -> str:
    """Return what was said, how surely, and the truth, in two lines."""
    said = f"{LABELS[answers.predicted[row]]} {100 * answers.confidence[row]:.1f} %"
    return f"{said}\ntruth: {answers.truths[answers.truth[row]].name}"


def mistakes_plot(answers: Answers, count: int, title: str) -> Plot:
    """Show the most confident errors of answers whose images were kept."""
    rows = surest_mistakes(answers, count)
    columns = min(COLUMNS, max(1, len(rows)))
    lines = max(1, math.ceil(len(rows) / columns))

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{title}: the {len(rows)} most confident errors" if rows else f"{title}: no errors")
        spacing: Any = figure.get_layout_engine()
        spacing.set(h_pad=0.1)
        grid = figure.subplots(lines, columns, squeeze=False).flat
        for axes in grid:
            axes.set_axis_off()
        for axes, row in zip(figure.axes, rows, strict=False):
            assert answers.images is not None
            axes.set_axis_on()
            show_pixels(axes, answers.images[row])
            axes.set_xlabel(caption(answers, row), fontsize=9)
            axes.set_title(answers.names[row] if answers.names else f"image {row}", fontsize=8)

    return Plot(max(6.0, 2.2 * columns), 2.55 * lines + 0.5, draw)
