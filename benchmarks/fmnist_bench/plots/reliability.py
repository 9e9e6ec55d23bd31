"""Whether confidence means what it says, and what calling answers unsure buys."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from fmnist_bench.evaluation.figures import Evaluation
from fmnist_bench.plots.canvas import ACCENT, OTHER, RIGHT, Plot


def calibration_plot(evaluation: Evaluation, title: str) -> Plot:
    """Show accuracy by confidence, the images in each bin, and accuracy by the share of images kept."""

    def draw(figure: Figure) -> None:
        error = 100 * evaluation.expected_calibration_error
        figure.suptitle(f"{title}\nexpected calibration error {error:.2f} %")
        parts: Any = figure.subfigures(1, 2)
        left, right = parts
        upper, lower = left.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        _draw_reliability(upper, evaluation)
        _draw_histogram(lower, evaluation)
        _draw_coverage(right.subplots(), evaluation)

    return Plot(11, 5.2, draw)


def _draw_reliability(axes: Any, evaluation: Evaluation) -> None:
    filled = [row for row in evaluation.bins if row.images and row.confidence is not None and row.accuracy is not None]
    starts, widths = [100 * row.low for row in filled], [100 * (row.high - row.low) for row in filled]
    accuracies = [100 * row.accuracy for row in filled if row.accuracy is not None]
    axes.bar(starts, accuracies, widths, align="edge", color=RIGHT, alpha=0.55, edgecolor=RIGHT, label="accuracy")
    axes.plot([0, 100], [0, 100], color=OTHER, linestyle="--", label="confidence = accuracy")
    means = [100 * row.confidence for row in filled if row.confidence is not None]
    axes.plot(means, accuracies, color=ACCENT, marker="o", markersize=4, label="mean confidence of the bin")
    axes.set(ylabel="images labelled rightly (%)", title="Accuracy by confidence", xlim=(0, 100), ylim=(0, 100))
    axes.legend(loc="upper left", fontsize=8)


def _draw_histogram(axes: Any, evaluation: Evaluation) -> None:
    bins = evaluation.bins
    axes.bar([100 * row.low for row in bins], [row.images for row in bins], 100 / len(bins), align="edge", color=OTHER)
    axes.set(xlabel="confidence (%)", ylabel="images")


def _draw_coverage(axes: Any, evaluation: Evaluation) -> None:
    rows = [row for row in evaluation.coverages if row.right.share is not None]
    kept = [100 * row.coverage for row in rows]
    axes.fill_between(
        kept, [100 * row.right.low for row in rows], [100 * row.right.high for row in rows], color=RIGHT, alpha=0.2,
        label="95 % interval",
    )  # fmt: skip
    axes.plot(kept, [100 * (row.right.share or 0) for row in rows], color=RIGHT, marker="o", label="accuracy")
    axes.set(xlabel="images kept, the surest first (%)", ylabel="of these, labelled rightly (%)", xlim=(0, 102))
    axes.set_title("Accuracy without the unsure")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
