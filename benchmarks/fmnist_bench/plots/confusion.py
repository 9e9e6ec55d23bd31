"""The confusion matrix."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from fmnist_bench.evaluation.figures import Evaluation
from fmnist_bench.plots.canvas import Plot


def confusion_plot(evaluation: Evaluation, title: str) -> Plot:
    """Show counts of images by truth (rows) and predicted label (columns), shaded by their share of the row."""
    counts = evaluation.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        picture = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for (row, column), count in np.ndenumerate(counts):
            ink = "white" if shares[row, column] > 0.5 else "#1b1f24" if count else "#9aa4ad"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=ink, fontsize=9)
        axes.set_xticks(range(counts.shape[1]), evaluation.labels, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(counts)), [group.name for group in evaluation.groups])
        accuracy = 100 * (evaluation.accuracy.share or 0)
        axes.set(title=f"{title}\naccuracy {accuracy:.2f} %", xlabel="predicted label", ylabel="truth")
        figure.colorbar(picture, ax=axes, label="share of the row's images (%)", shrink=0.8)

    return Plot(9, max(4.5, 0.62 * len(counts) + 1.8), draw)
