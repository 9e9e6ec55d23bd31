"""The pictures of a report, as data URIs: each light and dark."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_bench.evaluation.answers import Answers
from fmnist_bench.plots.canvas import DARK, LIGHT, Plot, rendered
from fmnist_bench.plots.mistakes import surest_mistakes
from fmnist_edge.contract import LABELS

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
    """data: URI of the 28x28 PNG that the network saw."""


def figure_of(plot: Plot, alt: str) -> Figure:
    """Draw a plot in both themes."""
    light, dark = (data_uri(rendered(plot, "png", dpi=DPI, theme=theme)) for theme in (LIGHT, DARK))
    return Figure(alt, light, dark)


def gallery(answers: Answers, count: int) -> list[Mistake]:
    """Return the most confident mistakes, at most `count`; none if the images were not kept."""
    if answers.images is None:
        return []
    return [_mistake(answers, answers.images[row], row) for row in surest_mistakes(answers, count)]


def _mistake(answers: Answers, image: NDArray[np.uint8], row: int) -> Mistake:
    return Mistake(
        name=answers.names[row] if answers.names else f"image {row}",
        said=LABELS[answers.predicted[row]],
        confidence=100 * float(answers.confidence[row]),
        truth=answers.truths[answers.truth[row]].name,
        image=data_uri(_png(image)),
    )


def _png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def data_uri(png: bytes) -> Any:
    """Return a PNG as a data: URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
