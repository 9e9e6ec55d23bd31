"""The page: figures and tables of one evaluation, put into the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from fmnist_bench.evaluation.answers import Answers
from fmnist_bench.evaluation.figures import Evaluation
from fmnist_bench.evaluation_report.pictures import Figure, figure_of, gallery
from fmnist_bench.plots.confusion import confusion_plot
from fmnist_bench.plots.curves import curves_plot
from fmnist_bench.plots.reliability import calibration_plot
from fmnist_bench.plots.weights import weights_plot
from fmnist_edge.atomic import write_atomically

MISTAKES: Final = 30
PAGE: Final = "index.html"


@dataclass(frozen=True, eq=False)
class Subject:
    """What a report is about."""

    title: str
    answers: Answers
    evaluation: Evaluation
    facts: Mapping[str, Any]
    """What the model file says of itself, as `inspection.inspect_model` returns."""
    weights: Any
    """Of the first layer, float64 [units, 28, 28]."""
    record: Mapping[str, Any] | None = None
    """Of the training, if it is at hand."""


def write_report(subject: Subject, folder: Path) -> Path:
    """Write the page into a folder, made if missing, and return its path. Raises OutputError."""
    path = folder / PAGE
    write_atomically(path, report_html(subject))
    return path


def report_html(subject: Subject) -> str:
    """Return the page. It refers to no other file and holds no script."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    return environment.get_template("page.html.jinja").render(
        title=subject.title,
        evaluation=subject.evaluation,
        by_folder=bool(subject.answers.names),
        figures=_figures(subject),
        mistakes=gallery(subject.answers, MISTAKES),
        wrong=int((~subject.answers.right()).sum()),
        facts=_flat({**subject.facts, "file": Path(subject.facts["file"]).name}),
    )


def _figures(subject: Subject) -> dict[str, Figure]:
    evaluation, name = subject.evaluation, Path(subject.facts["file"]).name
    figures = {
        "confusion": figure_of(confusion_plot(evaluation, subject.title), "Confusion matrix, as in the table below"),
        "calibration": figure_of(
            calibration_plot(evaluation, subject.title),
            "Left: accuracy by confidence. Right: accuracy by the share of images kept; the table below has it too",
        ),
        "weights": figure_of(weights_plot(subject.weights, name), "Weights of each hidden unit as an image"),
    }
    if subject.record is not None:
        alt = "Loss and accuracy of training and validation by epoch"
        figures["curves"] = figure_of(curves_plot(dict(subject.record)), alt)
    return figures


def _percent(share: float | None, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f} %" if share is not None else "-"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested facts as rows: `test / optimized / accuracy`, value."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = prefix + key.replace("_", " ")
        if isinstance(value, dict):
            rows += _flat(value, f"{name} / ")
        else:
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows
