"""Images of the dataset: one with its pixel scale, and those around it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmnist_bench.plots.canvas import Plot, show_pixels
from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import Split
from fmnist_edge.errors import UsageError


def indices_around(labels: NDArray[np.uint8], index: int, count: int, label: int | None = None) -> list[int]:
    """Return `count` consecutive indices with `index` in their middle, as far as the split reaches.

    With `label` (0..9) only images of that label count, and the middle is the first of them from `index` on.
    Raises UsageError if the index is none of the split, or no such image follows it.
    """
    if not 0 <= index < len(labels):
        raise UsageError(f"there is no image {index}: the split has 0..{len(labels) - 1}")
    candidates = np.arange(len(labels)) if label is None else np.flatnonzero(labels == label)
    middle = int(np.searchsorted(candidates, index))
    if middle == len(candidates):
        raise UsageError(f"no image of {LABELS[label or 0]} from index {index} on: choose a smaller --index")
    start = max(0, min(middle - count // 2, len(candidates) - count))
    return [int(one) for one in candidates[start : start + count]]


def samples_plot(split: Split, name: str, index: int, count: int = 25, label: int | None = None) -> Plot:
    """Show one image with its pixel scale, and a grid of the `count` images around it with their names."""
    around = indices_around(split.labels, index, count, label)
    chosen = next(one for one in around if one >= index)
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(len(around) / columns)

    def draw(figure: Figure) -> None:
        parts: Any = figure.subfigures(1, 2, width_ratios=[4.6, 1.45 * columns])
        left, right = parts
        _draw_scaled(left, split.images[chosen], f"{name} image {chosen}: {LABELS[split.labels[chosen]]}")
        right.suptitle(f"{name} images {around[0]} to {around[-1]}" if len(around) > 1 else "")
        _draw_grid(right.subplots(rows, columns, squeeze=False), split, around)

    return Plot(4.6 + 1.45 * columns, max(4.2, 1.5 * rows + 0.6), draw)


def _draw_scaled(figure: Any, image: NDArray[np.uint8], title: str) -> None:
    axes = figure.subplots()
    picture = axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(title=title, xlabel="column (pixels)", ylabel="row (pixels)")
    figure.colorbar(picture, ax=axes, shrink=0.5, label="grey level (0 to 255)")


def _draw_grid(grid: Any, split: Split, indices: list[int]) -> None:
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, index in zip(grid.flat, indices, strict=False):
        axes.set_axis_on()
        show_pixels(axes, split.images[index])
        axes.set_xlabel(LABELS[split.labels[index]], fontsize=9)
