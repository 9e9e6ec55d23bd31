"""The page of one evaluation: figures, tables, mistakes and the model's card, in one HTML file."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_bench.charts import calibration_plot, confusion_plot, curves_plot
from fmnist_bench.evaluate import Evaluation
from fmnist_bench.labelled import Answers
from fmnist_bench.plots import DARK, LIGHT, Plot, rendered, shown_picture, surest_mistakes, weights_plot
from fmnist_bench.text import rendered as rendered_template
from fmnist_edge.classifier import Classifier
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import LABELS
from fmnist_edge.onnx_reader import first_layer

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
    classifier: Classifier
    """It answers the pictures of mistakes once more, to show where it looked."""
    record: Mapping[str, Any] | None = None
    """Of the training, if it is at hand."""


def report_html(subject: Subject) -> str:
    """Return the page. It refers to no other file and holds no script."""
    return rendered_template(
        "evaluation_report.html.jinja",
        title=subject.title,
        evaluation=subject.evaluation,
        by_folder=subject.evaluation.by_folder,
        figures=_figures(subject),
        mistakes=gallery(subject.answers.garments, MISTAKES, subject.classifier),
        wrong=int((~subject.answers.garments.right()).sum()),
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
    }
    with contextlib.suppress(ModelError):  # networks whose first layer does not look at all pixels have no such images
        weights = first_layer(subject.classifier.path)
        if name == subject.classifier.path.name:
            figures["weights"] = figure_of(weights_plot(weights, name), "Weights of each hidden unit as an image")
    if subject.record is not None:
        alt = "Loss and accuracy of training and validation by epoch"
        figures["curves"] = figure_of(curves_plot(dict(subject.record)), alt)
    return figures


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


GALLERY_SIDE: Final = 176  # pixels, as wide as the page shows it
DPI: Final = 110  # wide enough for a desktop's column, and a page stays under 2 MB


@dataclass(frozen=True)
class Figure:
    """A figure in both themes."""

    alt: str
    """What it shows, for those who do not see it."""
    light: str
    """data: URI of a PNG."""
    dark: str


@dataclass(frozen=True)
class Mistake:
    """A wrong answer with its image."""

    name: str
    said: str
    confidence: float
    """Percent."""
    truth: str
    image: str
    """data: URI of a PNG: the image of the dataset, or the picture with the heat map of what was seen."""


def figure_of(plot: Plot, alt: str) -> Figure:
    """Draw a plot in both themes."""
    light, dark = (data_uri(rendered(plot, "png", dpi=DPI, theme=theme)) for theme in (LIGHT, DARK))
    return Figure(alt, light, dark)


def gallery(answers: Answers, count: int, classifier: Classifier) -> list[Mistake]:
    """Return the most confident mistakes, at most `count`."""
    return [
        Mistake(
            name=answers.name(row),
            said=LABELS[answers.predicted[row]],
            confidence=100 * float(answers.confidence[row]),
            truth=answers.truths[answers.truth[row]].name,
            image=data_uri(_png(shown_picture(answers, row, classifier))),
        )
        for row in surest_mistakes(answers, count)
    ]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    picture, file = PIL.Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((GALLERY_SIDE, GALLERY_SIDE))
    picture.save(file, "PNG")
    return file.getvalue()


def data_uri(png: bytes) -> Any:
    """Return a PNG as a data: URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
