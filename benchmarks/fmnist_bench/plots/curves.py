"""The curves of a training: loss and accuracy by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from matplotlib.figure import Figure

from fmnist_bench.plots.canvas import ACCENT, RIGHT, Plot, rendered

TRAIN_STYLE: Final = {"color": RIGHT, "linestyle": "-"}
VALIDATION_STYLE: Final = {"color": ACCENT, "linestyle": "--"}  # the dashes tell them apart without colour


@dataclass(frozen=True)
class Curve:
    """One line of a plot; x is the epoch, counted from 1."""

    name: str
    values: tuple[float, ...]
    style: dict[str, str]


def curves_of(record: dict[str, Any], metric: str) -> list[Curve]:
    """Return the training curve and, if the recipe kept images for it, the validation curve of a metric.

    `metric` is "loss" (nats) or "accuracy" (0..1, returned in percent).
    """
    scale = 100.0 if metric == "accuracy" else 1.0
    history = record["history"]
    named = (("training", metric, TRAIN_STYLE), ("validation", f"val_{metric}", VALIDATION_STYLE))
    return [
        Curve(name, tuple(scale * value for value in history[key]), style)
        for name, key, style in named
        if key in history
    ]


def curves_plot(record: dict[str, Any]) -> Plot:
    """Show a training record's loss and accuracy by epoch."""

    def draw(figure: Figure) -> None:
        title = f"{record['model']}, recipe {record['recipe']}, seed {record['seed']}"
        figure.suptitle(f"{title}: {_accuracies(record)}")
        left, right = figure.subplots(1, 2)
        _draw(left, curves_of(record, "loss"), "Loss", "cross-entropy (nats)")
        _draw(right, curves_of(record, "accuracy"), "Accuracy", "images labelled rightly (%)")

    return Plot(10, 4.4, draw)


def curves_png(record: dict[str, Any], dots_per_inch: int = 120) -> bytes:
    """Return the picture of a training record's loss and accuracy curves, PNG."""
    return rendered(curves_plot(record), dpi=dots_per_inch)


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
