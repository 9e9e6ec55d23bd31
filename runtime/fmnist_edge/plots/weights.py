"""What the hidden units look for: the first layer's weights as images."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmnist_edge.plots.canvas import Plot

COLUMNS = 16


def weights_plot(weights: NDArray[np.float64], title: str) -> Plot:
    """Show weights, float64 [units, 28, 28], as a grid; red is positive, blue negative, white zero."""
    # Outliers would leave the rest pale, so the scale ends at the 99.5 % quantile of the magnitudes.
    limit = float(np.quantile(np.abs(weights), 0.995))
    rows = -(-len(weights) // COLUMNS)

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{title}: weights of the {len(weights)} hidden units, 28x28 pixels each")
        grid = figure.subplots(rows, COLUMNS, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, unit in zip(grid.flat, weights, strict=False):
            picture = axes.imshow(unit, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        label = "weight of a pixel in 0..1 (red raises the unit, blue lowers it)"
        figure.colorbar(picture, ax=grid, label=label, shrink=0.8, aspect=40, extend="both")

    return Plot(13, 0.75 * rows + 0.6, draw)
