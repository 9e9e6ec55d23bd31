"""What all pictures share: size, theme, colours, and how they become a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import UsageError

FORMS: Final = ("png", "svg", "pdf")
DPI: Final = 150  # dots per inch: sharp on a slide, and a figure stays under a few hundred kB

# The tutorial's blue and red; what is wrong is hatched besides.
RIGHT: Final = "#0072B2"
WRONG: Final = "#C8102E"
ACCENT: Final = "#D55E00"  # with RIGHT's blue from Okabe & Ito (2008), told apart by all readers
OTHER: Final = "#8C8C8C"
WRONG_HATCH: Final = "////"


@dataclass(frozen=True)
class Theme:
    """Colours of text and ground."""

    ink: str
    ground: str


LIGHT: Final = Theme(ink="#1b1f24", ground="#ffffff")
DARK: Final = Theme(ink="#e6e8eb", ground="#16191d")


@dataclass(frozen=True)
class Plot:
    """A picture that has not been drawn yet."""

    width: float
    """Inches."""
    height: float
    """Inches."""
    draw: Callable[[Figure], None]
    """Draws it on an empty figure."""


def drawn(plot: Plot, theme: Theme = LIGHT) -> Figure:
    """Return the drawn figure."""
    with matplotlib.rc_context(_settings(theme)):
        figure = Figure(figsize=(plot.width, plot.height), layout="constrained")
        FigureCanvasAgg(figure)
        plot.draw(figure)
    return figure


def rendered(plot: Plot, form: str = "png", *, dpi: int = DPI, theme: Theme = LIGHT) -> bytes:
    """Return the bytes of a picture, one of FORMS; the same plot gives the same bytes."""
    figure = drawn(plot, theme)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "fmnist-edge", **_settings(theme)}):
        stamps = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
        figure.savefig(buffer, format=form, dpi=dpi, metadata=stamps[form])
    return buffer.getvalue()


def save(plot: Plot, path: Path, *, dpi: int = DPI) -> None:
    """Write a picture in the form that the file's ending names. Raises UsageError for another ending; OutputError."""
    form = path.suffix.lower().lstrip(".")
    if form not in FORMS:
        raise UsageError(f"cannot tell the form of {path}: end its name in {', '.join('.' + form for form in FORMS)}")
    write_atomically(path, rendered(plot, form, dpi=dpi))


def show_pixels(axes: Any, pixels: NDArray[np.uint8], title: str = "") -> Any:
    """Show a grey image, uint8 [height, width], or RGB, uint8 [height, width, 3], without axes."""
    axes.set(xticks=[], yticks=[], title=title)
    return axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def _settings(theme: Theme) -> dict[str, Any]:
    inks = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), theme.ink)
    grounds = dict.fromkeys(
        ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), theme.ground
    )
    return {**inks, **grounds, "hatch.linewidth": 0.6, "axes.axisbelow": True, "font.size": 10}
