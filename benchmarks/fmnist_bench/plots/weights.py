"""What the hidden units look for: the first layer's weights as images."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmnist_bench.plots.canvas import Plot

COLUMNS: Final = 16


def relative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each unit's weights in percent of the 99 % quantile of their magnitudes.

    A unit may be scaled up and the next layer down without any answer changing (Nagel et al. 2019, which
    quantization makes use of), so sizes say nothing between units.
    """
    large = np.quantile(np.abs(weights), 0.99, axis=(1, 2), keepdims=True)
    percent: NDArray[np.float64] = 100 * weights / np.where(large > 0, large, 1)
    return percent


def weights_plot(weights: NDArray[np.float64], title: str) -> Plot:
    """Show weights, float64 [units, 28, 28], as a grid; red is positive, blue negative, white zero."""
    shares = relative(weights)
    rows = -(-len(weights) // COLUMNS)

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{title}: weights of the {len(weights)} hidden units, 28x28 pixels each")
        grid = figure.subplots(rows, COLUMNS, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, unit in zip(grid.flat, shares, strict=False):
            picture = axes.imshow(unit, cmap="RdBu_r", vmin=-100, vmax=100, interpolation="nearest")
        label = "weight of a pixel (% of the unit's 99 % quantile)\nred raises the unit, blue lowers it"
        figure.colorbar(picture, ax=grid, label=label, shrink=0.8, aspect=40, extend="both")

    return Plot(13, 0.75 * rows + 0.6, draw)
