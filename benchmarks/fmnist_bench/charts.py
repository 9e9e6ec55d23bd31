"""Charts of an evaluation and of a training: confusion matrix, calibration, curves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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


TRAIN_STYLE: Final = {"color": RIGHT, "linestyle": "-"}
VALIDATION_STYLE: Final = {"color": ACCENT, "linestyle": "--"}  # the dashes tell them apart without colour


@dataclass(frozen=True)
class Curve:
    """One line of a plot; x is the epoch, counted from 1."""

    name: str
    values: tuple[float, ...]
    style: dict[str, str]


def curves_of(record: dict[str, Any], metric: str) -> list[Curve]:
    """Return the curve of the training batches and, if the recipe kept images for it, that of validation.

    `metric` is "loss" (nats) or "accuracy" (0..1, returned in percent).
    """
    scale = 100.0 if metric == "accuracy" else 1.0
    history = record["history"]
    named = (("training batches, as augmented", metric, TRAIN_STYLE), ("validation", f"val_{metric}", VALIDATION_STYLE))
    return [
        Curve(name, tuple(scale * value for value in history[key]), style)
        for name, key, style in named
        if key in history
    ]


def curves_plot(record: dict[str, Any]) -> Plot:
    """Show a training record's loss and accuracy by epoch."""

    def draw(figure: Figure) -> None:
        title = f"{record['model']}, recipe {record['recipe']}, seed {record['seed']}"
        figure.suptitle(f"{title}\naccuracy of the saved network, nothing augmented: {_accuracies(record)}")
        left, right = figure.subplots(1, 2)
        _draw(left, curves_of(record, "loss"), "Loss", "cross-entropy (nats)")
        _draw(right, curves_of(record, "accuracy"), "Accuracy", "images labelled rightly (%)")

    return Plot(10, 4.7, draw)


def _accuracies(record: dict[str, Any]) -> str:
    return ", ".join(f"{split} {100 * value:.2f} %" for split, value in record["accuracy"].items())


def _draw(axes: Any, curves: list[Curve], title: str, unit: str) -> None:
    for curve in curves:
        epochs = range(1, len(curve.values) + 1)
        marker = "o" if len(curve.values) <= 20 else ""
        axes.plot(epochs, curve.values, label=curve.name, marker=marker, markersize=4, **curve.style)
    axes.set(title=title, xlabel="epoch", ylabel=unit)
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
        raise DataError(f"{path} is no record of a training: `fmnist-edge train` writes one, training.json")
    return record
