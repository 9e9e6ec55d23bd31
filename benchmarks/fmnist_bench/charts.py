"""Charts of an evaluation and of a training: confusion matrix, calibration, curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fmnist_bench.evaluate import Evaluation
from fmnist_bench.plots import ACCENT, OTHER, RIGHT, Plot, colour_scale
from fmnist_edge.errors import DataError


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
        colour_scale(figure, picture, axes, "share of the row's images (%)")

    return Plot(9, max(4.5, 0.62 * len(counts) + 1.8), draw)


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
    filled = [row for row in evaluation.bins if row.confidence is not None and row.accuracy is not None]
    accuracies = [100 * (row.accuracy or 0) for row in filled]
    starts, width = [100 * row.low for row in filled], 100 / len(evaluation.bins)
    axes.bar(starts, accuracies, width, align="edge", color=RIGHT, alpha=0.55, edgecolor=RIGHT, label="accuracy")
    axes.plot([0, 100], [0, 100], color=OTHER, linestyle="--", label="confidence = accuracy")
    means = [100 * (row.confidence or 0) for row in filled]
    axes.plot(means, accuracies, color=ACCENT, marker="o", markersize=4, label="mean confidence of the bin")
    axes.set(ylabel="correct images (%)", title="Accuracy by confidence", xlim=(0, 100), ylim=(0, 100))
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
    axes.set(xlabel="images kept, the most confident first (%)", ylabel="of these, correct (%)", xlim=(0, 102))
    axes.set_title("Accuracy without the unsure")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def curves_plot(record: dict[str, Any]) -> Plot:
    """Show a training record's loss and accuracy by epoch, of training batches and of validation images if any."""

    def draw(figure: Figure) -> None:
        title = f"{record['model']}, recipe {record['recipe']}, seed {record['seed']}"
        accuracies = ", ".join(f"{split} {100 * value:.2f} %" for split, value in record["accuracy"].items())
        figure.suptitle(f"{title}\naccuracy of the saved network: {accuracies}")
        left, right = figure.subplots(1, 2)
        _draw_curves(left, record["history"], "loss", "cross-entropy (nats)", 1)
        _draw_curves(right, record["history"], "accuracy", "correct images (%)", 100)

    return Plot(10, 4.7, draw)


def _draw_curves(axes: Any, history: dict[str, list[float]], metric: str, unit: str, scale: float) -> None:
    training = ("training batches, during training", metric, RIGHT, "-")
    for name, key, colour, line in (training, ("validation", f"val_{metric}", ACCENT, "--")):
        if key in history:
            marker = "o" if len(history[key]) <= 20 else ""
            epochs, values = range(1, len(history[key]) + 1), [scale * value for value in history[key]]
            axes.plot(epochs, values, label=name, marker=marker, markersize=4, color=colour, linestyle=line)
    axes.set(title=metric.capitalize(), xlabel="epoch", ylabel=unit)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()


def read_training_record(path: Path) -> dict[str, Any]:
    """Return a training's record. Raises DataError if it cannot be read or holds no history of epochs."""
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read the training record {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    wanted = {"model", "recipe", "seed", "accuracy", "history"}
    if not isinstance(record, dict) or not wanted <= record.keys():
        raise DataError(f"{path} isn't a training record: `fmnist-edge train` writes one, training.json")
    return record
