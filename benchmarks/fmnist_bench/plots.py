"""Plots of the data, of answers and of weights: one theme, one way to a file."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
import PIL.Image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmnist_bench.labelled import Answers
from fmnist_edge.atomic import write_atomically
from fmnist_edge.classifier import Classifier, Prediction
from fmnist_edge.dataset import Split, SplitName, load_split
from fmnist_edge.decoding import decode
from fmnist_edge.errors import UsageError
from fmnist_edge.explain import overlay
from fmnist_edge.model_info import IMAGE_SIDE, LABELS

# By form, the metadata that says who wrote a file, see fmnist_edge.cli.options; without a date, so that the same plot
# gives the same bytes.
FORMS: Final[dict[str, dict[str, str | None]]] = {
    "png": {"Software": "fmnist-edge"},
    "svg": {"Creator": "fmnist-edge", "Date": None},
    "pdf": {"Creator": "fmnist-edge", "CreationDate": None},
}
DPI: Final = 150  # dots per inch: sharp on a slide, and a figure stays under a few hundred kB

# The tutorial's blue and red; wrong answers are hatched as well.
RIGHT: Final = "#0072B2"
WRONG: Final = "#C8102E"
ACCENT: Final = "#D55E00"  # this and RIGHT are from Okabe & Ito (2008): colour-blind readers can tell them apart
OTHER: Final = "#8C8C8C"
WRONG_HATCH: Final = "////"


@dataclass(frozen=True)
class Theme:
    """Colours of text and background."""

    ink: str
    background: str


LIGHT: Final = Theme(ink="#1b1f24", background="#ffffff")
DARK: Final = Theme(ink="#e6e8eb", background="#16191d")


@dataclass(frozen=True)
class Plot:
    """A figure that has not been drawn yet."""

    width: float  # inches
    height: float  # inches
    draw: Callable[[Figure], None]  # draws on an empty figure


def drawn(plot: Plot, theme: Theme = LIGHT) -> Figure:
    """Return the drawn figure."""
    with matplotlib.rc_context(_settings(theme)):
        figure = Figure(figsize=(plot.width, plot.height), layout="constrained")
        FigureCanvasAgg(figure)
        plot.draw(figure)
    return figure


def rendered(plot: Plot, form: str = "png", *, dpi: int = DPI, theme: Theme = LIGHT) -> bytes:
    """Return a plot as a file, in one of FORMS; the same plot gives the same bytes."""
    figure, buffer = drawn(plot, theme), io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "fmnist-edge", **_settings(theme)}):
        figure.savefig(buffer, format=form, dpi=dpi, metadata=FORMS[form])
    return buffer.getvalue()


def save(plot: Plot, path: Path, *, dpi: int = DPI) -> None:
    """Write a plot in the form of the file's ending. Raises UsageError for another ending; OutputError."""
    form = path.suffix.lower().lstrip(".")
    if form not in FORMS:
        raise UsageError(f"cannot tell the form of {path}: end its name in .{', .'.join(FORMS)}")
    write_atomically(path, rendered(plot, form, dpi=dpi))


def show_pixels(axes: Any, pixels: NDArray[np.uint8], title: str = "") -> Any:
    """Show a grey image, uint8 [height, width], or RGB, uint8 [height, width, 3], without axes."""
    axes.set(xticks=[], yticks=[], title=title)
    return axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def colour_scale(figure: Any, picture: Any, axes: Any, label: str) -> None:
    """Put the colour bar of a picture beside its axes, exactly as tall as they are."""
    figure.colorbar(picture, cax=axes.inset_axes((1.03, 0, 0.05, 1)), label=label)


def _settings(theme: Theme) -> dict[str, Any]:
    inks = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), theme.ink)
    faces = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
    backgrounds = dict.fromkeys(faces, theme.background)
    return {**inks, **backgrounds, "hatch.linewidth": 0.6, "axes.axisbelow": True, "font.size": 10}


def indices_around(labels: NDArray[np.uint8], index: int, count: int, label: int | None = None) -> list[int]:
    """Return `count` consecutive indices with `index` in their middle, fewer if the split is smaller.

    With `label` (0..9), only images of that label count, and the middle is the first of them from `index` on.
    Raises UsageError if the split doesn't have the index, or no such image follows it.
    """
    if not 0 <= index < len(labels):
        raise UsageError(f"there is no image {index}: the split has 0..{len(labels) - 1}")
    candidates = np.arange(len(labels)) if label is None else np.flatnonzero(labels == label)
    middle = int(np.searchsorted(candidates, index))
    if middle == len(candidates):
        raise UsageError(f"no image of {LABELS[label or 0]} from index {index} on: choose a smaller --index")
    start = max(0, min(middle - count // 2, len(candidates) - count))
    return [int(one) for one in candidates[start : start + count]]


def samples_plot(split: Split, name: str, index: int, count: int = 25, label: int | None = None) -> Plot:
    """Show one image with its pixel scale, and a grid of the `count` images around it with their names."""
    around = indices_around(split.labels, index, count, label)
    chosen = next(one for one in around if one >= index)
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(len(around) / columns)

    def draw(figure: Figure) -> None:
        parts: Any = figure.subfigures(1, 2, width_ratios=[4.6, 1.45 * columns])
        left, right = parts
        _draw_scaled(left, split.images[chosen], f"{name} image {chosen}: {LABELS[split.labels[chosen]]}")
        right.suptitle(f"{name} images {around[0]} to {around[-1]}" if len(around) > 1 else "")
        cells = [(split.images[one], LABELS[split.labels[one]], "") for one in around]
        _draw_grid(right.subplots(rows, columns, squeeze=False), cells)

    return Plot(4.6 + 1.45 * columns, max(4.2, 1.5 * rows + 0.6), draw)


def _draw_scaled(figure: Any, image: NDArray[np.uint8], title: str) -> None:
    axes = figure.subplots()
    picture = axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(title=title, xlabel="column (pixels)", ylabel="row (pixels)")
    colour_scale(figure, picture, axes, "grey level (0 to 255)")


def _draw_grid(grid: Any, cells: Sequence[tuple[NDArray[np.uint8], str, str]]) -> None:
    """Show pictures, each with the text below and above it; the rest of the grid stays empty."""
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (pixels, below, above) in zip(grid.flat, cells, strict=False):
        axes.set_axis_on()
        show_pixels(axes, pixels)
        axes.set_xlabel(below, fontsize=9)
        axes.set_title(above, fontsize=8)


@dataclass(frozen=True, eq=False)
class Answered:
    """One image with its answer."""

    image: NDArray[np.uint8]  # network input, uint8 [28, 28], or a picture with its heat map, uint8 [height, width, 3]
    probabilities: NDArray[np.float32]  # float32 [10]
    truth: int | None = None  # the right label, 0..9, if known
    original: NDArray[np.uint8] | None = None
    """The pixels of a photo, uint8 [height, width] or [height, width, 3]; None if `image` shows the same."""
    name: str = ""

    @property
    def best(self) -> int:
        """The best class, 0..9."""
        return int(self.probabilities.argmax())

    @property
    def caption(self) -> str:
        """Label, confidence, and the truth if known: `Bag 98.1 % (truth: Bag)`."""
        said = f"{LABELS[self.best]} {100 * float(self.probabilities[self.best]):.1f} %"
        return said if self.truth is None else f"{said} (truth: {LABELS[self.truth]})"

    def colour(self, index: int) -> str:
        """Return the colour of a label's bar: blue for the right one, red for a wrong answer."""
        if index == (self.best if self.truth is None else self.truth):
            return RIGHT
        return WRONG if index == self.best else OTHER


def prediction_plot(answered: Answered) -> Plot:
    """Show one image beside its ten probabilities; for a photo, the original comes first."""

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{answered.name}: {answered.caption}" if answered.name else answered.caption)
        photo = [("original", answered.original)] if answered.original is not None else []
        seen = "what it saw" if photo else "image, 28x28 pixels"
        *pictures, bars = figure.subplots(1, 2 + len(photo), width_ratios=[1] * (1 + len(photo)) + [1.3])
        for axes, (title, pixels) in zip(pictures, [*photo, (seen, answered.image)], strict=True):
            show_pixels(axes, pixels, title)
        draw_bars(bars, answered)
        bars.set(xlabel="probability (%)", title="probabilities")

    return Plot(8.6 if answered.original is None else 12, 4, draw)


def predictions_plot(answers: Sequence[Answered], columns: int = 3, title: str = "") -> Plot:
    """Show a grid of images, each beside its bars."""
    columns = min(columns, len(answers))
    rows = math.ceil(len(answers) / columns)

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{title}\nblue: the right label; red, hatched: a wrong answer; bars: probability, 0 to 100 %")
        cells = figure.subfigures(rows, columns, squeeze=False).flat
        for cell, answered in zip(cells, answers, strict=False):
            cell.suptitle(f"{answered.name}: {answered.caption}", fontsize=9)
            left, right = cell.subplots(1, 2)
            show_pixels(left, answered.image)
            draw_bars(right, answered, small=True)

    return Plot(4.3 * columns, 2.05 * rows + 0.6, draw)


def draw_bars(axes: Any, answered: Answered, *, small: bool = False) -> None:
    """Draw the ten probabilities as horizontal bars in percent, the first label on top."""
    size = 7 if small else 9
    colours = [answered.colour(index) for index in range(len(LABELS))]
    bars = axes.barh(range(len(LABELS)), 100 * answered.probabilities.astype(np.float64), color=colours)
    for bar, colour in zip(bars, colours, strict=True):
        bar.set(hatch=WRONG_HATCH if colour == WRONG else None, edgecolor="white", linewidth=0)
    axes.set_yticks(range(len(LABELS)), LABELS, fontsize=size)
    axes.set_xticks([] if small else [0, 25, 50, 75, 100])
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def answered_images(
    classifier: Classifier, split: SplitName, data: Path | None, index: int, count: int
) -> list[Answered]:
    """Classify `count` images of a split from an index on. Raises UsageError if there are none; DataError."""
    part = load_split(split, data)
    images, labels = part.images[index : index + count], part.labels[index : index + count]
    if not len(images):
        raise UsageError(f"there is no image {index}: the {split} split has 0..{len(part.images) - 1}")
    rows = zip(images, classifier.predict(images), labels, strict=True)
    return [
        Answered(image, probabilities, int(label), name=f"{split} image {index + at}")
        for at, (image, probabilities, label) in enumerate(rows)
    ]


def answered_file(classifier: Classifier, path: str, truth: int | None) -> Answered:
    """Classify an image file, keeping its own pixels. Raises ImageError, which names the file."""
    prediction, picture = classifier.classify(path), decode(path)
    original, seen = np.asarray(picture), _seen(picture, prediction)
    plain = original.shape == (IMAGE_SIDE, IMAGE_SIDE) and np.array_equal(original, seen)
    return Answered(seen, prediction.probabilities, truth, None if plain else original, name=Path(path).name)


def shown_picture(answers: Answers, row: int, classifier: Classifier) -> NDArray[np.uint8]:
    """Return an answered image, uint8 [28, 28], or picture with its heat map, uint8 [height, width, 3].

    Pictures are read and classified again, because their pixels are not kept. Raises ImageError.
    """
    if answers.images is not None:
        return np.asarray(answers.images[row])
    picture = decode(answers.examples[row].read())
    return _seen(picture, classifier.classify(picture))


def _seen(picture: PIL.Image.Image, prediction: Prediction) -> NDArray[np.uint8]:
    if prediction.image is not None:
        return prediction.image
    return np.asarray(picture.convert("RGB") if prediction.saw is None else overlay(picture, prediction.saw))


MISTAKE_COLUMNS: Final = 5
LONGEST_TITLE: Final = 27  # characters above a picture of the grid


def surest_mistakes(answers: Answers, count: int) -> list[int]:
    """Return the rows of at most `count` wrong answers, the most confident first."""
    wrong = np.flatnonzero(~answers.right())
    order = np.argsort(-answers.confidence[wrong], kind="stable")[:count]
    return [int(row) for row in wrong[order]]


def mistakes_plot(answers: Answers, count: int, title: str, classifier: Classifier) -> Plot:
    """Show the most confident errors, pictures with their heat map."""
    predicted, confidence, cells = answers.predicted, answers.confidence, []
    for row in surest_mistakes(answers, count):
        said = f"{LABELS[predicted[row]]} {100 * confidence[row]:.1f} %"
        name = answers.name(row)
        short = name if len(name) <= LONGEST_TITLE else f"…{name[1 - LONGEST_TITLE :]}"
        truth = answers.truths[answers.truth[row]].name
        cells.append((shown_picture(answers, row, classifier), f"{said}\ntruth: {truth}", short))
    columns = min(MISTAKE_COLUMNS, max(1, len(cells)))
    lines = max(1, math.ceil(len(cells) / columns))

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{title}: the {len(cells)} most confident errors" if cells else f"{title}: no errors")
        spacing: Any = figure.get_layout_engine()
        spacing.set(h_pad=0.1)
        _draw_grid(figure.subplots(lines, columns, squeeze=False), cells)

    return Plot(max(6.0, 2.2 * columns), 2.55 * lines + 0.5, draw)


WEIGHT_COLUMNS: Final = 16


def relative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each unit's weights in percent of the 99 % quantile of their magnitudes.

    Scaling a unit up and the next layer down changes no answer (Nagel et al. 2019), so the weights of different units
    can't be compared.
    """
    large = np.quantile(np.abs(weights), 0.99, axis=(1, 2), keepdims=True)
    return np.asarray(100 * weights / np.where(large > 0, large, 1))


def weights_plot(weights: NDArray[np.float64], title: str) -> Plot:
    """Show weights, float64 [units, 28, 28], as a grid; red is positive, blue negative, white zero."""
    rows = -(-len(weights) // WEIGHT_COLUMNS)

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{title}: weights of the {len(weights)} hidden units, 28x28 pixels each")
        grid = figure.subplots(rows, WEIGHT_COLUMNS, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, unit in zip(grid.flat, relative(weights), strict=False):
            picture = axes.imshow(unit, cmap="RdBu_r", vmin=-100, vmax=100, interpolation="nearest")
        label = "weight of a pixel (% of the unit's 99 % quantile)\nred raises the unit, blue lowers it"
        figure.colorbar(picture, ax=grid, label=label, shrink=0.8, aspect=40, extend="both")

    return Plot(13, 0.75 * rows + 0.6, draw)
