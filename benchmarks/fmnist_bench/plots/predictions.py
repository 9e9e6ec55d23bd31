"""An image beside the bars of its ten probabilities: the right label blue, a wrong answer red and hatched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmnist_bench.plots.canvas import OTHER, RIGHT, WRONG, WRONG_HATCH, Plot, show_pixels
from fmnist_edge.contract import LABELS


@dataclass(frozen=True, eq=False)
class Answered:
    """One image with its answer."""

    image: NDArray[np.uint8]
    """What the network saw, uint8 [28, 28]."""
    probabilities: NDArray[np.float32]
    """float32 [10]."""
    truth: int | None = None
    """The right label, 0..9, if it is known."""
    original: NDArray[np.uint8] | None = None
    """Of a photo, its own pixels: uint8 [height, width] or [height, width, 3]."""
    name: str = ""

    @property
    def best(self) -> int:
        """The best class, 0..9."""
        return int(self.probabilities.argmax())

    @property
    def caption(self) -> str:
        """Label, confidence, and the truth where it is another or is known: `Bag 98 % (truth: Bag)`."""
        said = f"{LABELS[self.best]} {100 * float(self.probabilities[self.best]):.1f} %"
        return said if self.truth is None else f"{said} (truth: {LABELS[self.truth]})"

    def colour(self, index: int) -> str:
        """Return the colour of a label's bar: blue for the right one, red for a wrong answer."""
        if index == (self.best if self.truth is None else self.truth):
            return RIGHT
        return WRONG if index == self.best else OTHER


def prediction_plot(answered: Answered) -> Plot:
    """Show one image beside its ten probabilities; a photo with its original first."""

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{answered.name}: {answered.caption}" if answered.name else answered.caption)
        photo = [("original", answered.original)] if answered.original is not None else []
        seen = "what the network saw" if photo else "image, 28x28 pixels"
        *pictures, bars = figure.subplots(1, 2 + len(photo), width_ratios=[1] * (1 + len(photo)) + [1.3])
        for axes, (title, pixels) in zip(pictures, [*photo, (seen, answered.image)], strict=True):
            show_pixels(axes, pixels, title)
        draw_bars(bars, answered)
        bars.set(xlabel="probability (%)", title="probabilities")

    return Plot(8.6 if answered.original is None else 12, 4, draw)


def predictions_plot(answers: Sequence[Answered], columns: int = 3, title: str = "") -> Plot:
    """Show a grid of images, each beside its bars."""
    columns = min(columns, len(answers))
    rows = math.ceil(len(answers) / columns)

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{title}\nblue: the right label; red, hatched: a wrong answer; bars: probability, 0 to 100 %")
        cells = figure.subfigures(rows, columns, squeeze=False).flat
        for cell, answered in zip(cells, answers, strict=False):
            cell.suptitle(f"{answered.name}: {answered.caption}", fontsize=9)
            left, right = cell.subplots(1, 2)
            show_pixels(left, answered.image)
            draw_bars(right, answered, small=True)

    return Plot(4.3 * columns, 2.05 * rows + 0.6, draw)


def draw_bars(axes: Any, answered: Answered, *, small: bool = False) -> None:
    """Draw the ten probabilities as horizontal bars in percent, the first label on top."""
    size = 7 if small else 9
    colours = [answered.colour(index) for index in range(len(LABELS))]
    bars = axes.barh(range(len(LABELS)), 100 * answered.probabilities.astype(np.float64), color=colours)
    for bar, colour in zip(bars, colours, strict=True):
        bar.set(hatch=WRONG_HATCH if colour == WRONG else None, edgecolor="white", linewidth=0)
    axes.set_yticks(range(len(LABELS)), LABELS, fontsize=size)
    axes.set_xticks([] if small else [0, 25, 50, 75, 100])
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
