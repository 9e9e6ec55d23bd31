"""The page of one evaluation: figures, tables, mistakes and the model's card, in one HTML file."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import PIL.Image

from fmnist_bench.charts import calibration_plot, confusion_plot, curves_plot
from fmnist_bench.evaluate import Evaluation
from fmnist_bench.labelled import Answers
from fmnist_bench.plots import DARK, LIGHT, Plot, rendered, shown_picture, surest_mistakes, weights_plot
from fmnist_bench.report import from_template
from fmnist_edge.classifier import Classifier
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import LABELS
from fmnist_edge.onnx_reader import first_layer

MISTAKES: Final = 30
PAGE: Final = "index.html"
GALLERY_SIDE: Final = 176  # pixels, as wide as the page shows it
DPI: Final = 110  # wide enough for a desktop's column, and a page stays under 2 MB


@dataclass(frozen=True, eq=False)
class Subject:
    """What a report is about."""

    title: str
    answers: Answers
    evaluation: Evaluation
    metadata: Mapping[str, Any]  # of the model file, as `session.inspect_model` returns it
    classifier: Classifier  # classifies the pictures of mistakes again, for their heat maps
    record: Mapping[str, Any] | None = None  # of the training


@dataclass(frozen=True)
class Figure:
    """A figure in both themes, as data: URIs of PNG files."""

    alt: str
    light: str
    dark: str


@dataclass(frozen=True)
class Mistake:
    """A wrong answer with its image."""

    name: str
    said: str
    confidence: float  # percent
    truth: str
    image: str  # data: URI of a PNG: the image of the dataset, or the picture with its heat map


def report_html(subject: Subject) -> str:
    """Return the page. It refers to no other file and has no script."""
    garments = subject.answers.garments
    return from_template(
        "evaluation_report.html.jinja",
        title=subject.title,
        evaluation=subject.evaluation,
        figures=_figures(subject),
        mistakes=gallery(garments, MISTAKES, subject.classifier),
        wrong=int((~garments.right()).sum()),
        card=_flat({**subject.metadata, "file": Path(subject.metadata["file"]).name}),
    )


def _figures(subject: Subject) -> dict[str, Figure]:
    title, path = subject.title, subject.classifier.path
    coverage = "Left: accuracy by confidence. Right: accuracy by the share of images kept, as in the table below"
    figures = {
        "confusion": _figure(confusion_plot(subject.evaluation, title), "Confusion matrix, as in the table below"),
        "calibration": _figure(calibration_plot(subject.evaluation, title), coverage),
    }
    with contextlib.suppress(ModelError):  # the first layer of some networks doesn't look at all pixels
        if path.name == Path(subject.metadata["file"]).name:
            weights = weights_plot(first_layer(path), path.name)
            figures["weights"] = _figure(weights, "Weights of each hidden unit as an image")
    if subject.record is not None:
        curves = curves_plot(dict(subject.record))
        figures["curves"] = _figure(curves, "Loss and accuracy of training and validation by epoch")
    return figures


def _figure(plot: Plot, alt: str) -> Figure:
    light, dark = (_data_uri(rendered(plot, "png", dpi=DPI, theme=theme)) for theme in (LIGHT, DARK))
    return Figure(alt, light, dark)


def gallery(answers: Answers, count: int, classifier: Classifier) -> list[Mistake]:
    """Return the most confident mistakes, at most `count`."""
    mistakes = []
    for row in surest_mistakes(answers, count):
        picture, file = PIL.Image.fromarray(shown_picture(answers, row, classifier)), io.BytesIO()
        picture.thumbnail((GALLERY_SIDE, GALLERY_SIDE))
        picture.save(file, "PNG")
        said, confidence = LABELS[answers.predicted[row]], 100 * float(answers.confidence[row])
        truth = answers.truths[answers.truth[row]].name
        mistakes.append(Mistake(answers.name(row), said, confidence, truth, _data_uri(file.getvalue())))
    return mistakes


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _flat(metadata: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested metadata as rows: `test / optimized / accuracy`, value."""
    rows: list[tuple[str, str]] = []
    for key, value in metadata.items():
        name = prefix + key.replace("_", " ")
        if isinstance(value, dict):
            rows += _flat(value, f"{name} / ")
        else:
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows
