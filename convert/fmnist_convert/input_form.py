"""In which form a network takes its images: measured on training images, because no file says it.

People scale images outside the model, each in their own way, and a wrong form is the commonest reason why a deployed
model fails. So the network is tried in every plausible form and the one that answers best is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.dataset import Split
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import IMAGE_SIDE

if TYPE_CHECKING:
    from fmnist_convert.original import Original

PIXELS: Final = IMAGE_SIDE * IMAGE_SIDE
# Grey levels 0..255 times the first, plus the second. Fashion-MNIST's mean and deviation are those of its training
# images in 0..1; MNIST's are what many take by mistake.
SCALES: Final[dict[str, tuple[float, float]]] = {
    "0..1": (1 / 255, 0.0),
    "0..255": (1.0, 0.0),
    "-1..1": (1 / 127.5, -1.0),
    "standardized": (1 / 255 / 0.3530, -0.2860 / 0.3530),
    "-0.5..0.5": (1 / 255, -0.5),
    "standardized-as-mnist": (1 / 255 / 0.3081, -0.1307 / 0.3081),
}
COMMON: Final = ("0..1", "0..255", "-1..1", "standardized")  # what tutorials do; others must be clearly better
INVERTED: Final = "-inverted"
FORM_NAMES: Final = tuple(name + end for end in ("", INVERTED) for name in SCALES)

IMAGES: Final = 2000  # of the training split, evenly spaced
FIRST_IMAGES: Final = 300  # on which forms that can't win are dropped
HOPELESS: Final = 0.15  # so far behind the best on those (one standard error is at most 0.03)
# Accuracies this close are told apart by log loss, which training minimized: networks trained on 0..1 for two epochs
# have been seen to be 1.5 points more accurate with 0..255, at six times the log loss.
BY_LOG_LOSS: Final = 0.03
CLOSE: Final = 0.005  # another form that comes this close to the chosen one, or is more accurate, is worth a warning
LEAST_ACCURACY: Final = 0.5  # on training images; below it, the network was trained on other images
_LEAST_PROBABILITY: Final = 1e-7  # what a probability of 0 counts as in the log loss


@dataclass(frozen=True)
class InputForm:
    """How uint8 [n, 28, 28] becomes what a network takes: padded, scaled, and reshaped."""

    name: str  # one of FORM_NAMES
    shape: tuple[int, ...]
    """Of one image as the network takes it: (28, 28), (28, 28, 1), (1, 28, 28), (784,), ..., with 1 or 3 channels."""
    dtype: str = "float32"

    @property
    def scale(self) -> tuple[float, float]:
        """Return what a grey level is multiplied with, and what is added then."""
        scale, offset = SCALES[self.name.removesuffix(INVERTED)]
        return (-scale, 255 * scale + offset) if self.name.endswith(INVERTED) else (scale, offset)

    @property
    def padding(self) -> int:
        """Return how many black pixels are put around the image on each side: 2 for networks of 32x32."""
        return (max(self.shape) - IMAGE_SIDE) // 2 if PIXELS not in self.shape else 0

    @property
    def channels_first(self) -> bool | None:
        """Tell where the channels are; None where the shape has none."""
        if len(self.shape) != 3:
            return None
        return self.shape[0] in (1, 3) and self.shape[1] == self.shape[2]

    def apply(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Return images, uint8 [n, 28, 28], in this form: [n, *shape] of `dtype`."""
        scale, offset = self.scale
        if self.padding:
            images = np.pad(images, ((0, 0), *[(self.padding, self.padding)] * 2))
        if (scale, offset) != (1.0, 0.0):
            values: NDArray[Any] = images.astype(np.float32) * np.float32(scale) + np.float32(offset)
        else:
            values = images
        if self.channels_first is not None:
            axis = 1 if self.channels_first else 3
            values = np.repeat(np.expand_dims(values, axis), self.shape[0 if self.channels_first else 2], axis=axis)
        return values.reshape(-1, *self.shape).astype(self.dtype)

    def __str__(self) -> str:
        return f"{self.name} as {self.dtype} [batch, {', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class FormScore:
    """How well a network does on training images in one form."""

    form: InputForm
    accuracy: float  # 0..1
    log_loss: float  # mean of -log(probability of the right class), in nats

    @property
    def is_common(self) -> bool:
        """Tell whether tutorials scale images like this."""
        return self.form.name in COMMON

    def figures(self) -> dict[str, Any]:
        """Return what metadata say of the form."""
        return {"form": self.form.name, "accuracy": round(self.accuracy, 4), "log_loss": round(self.log_loss, 4)}


@dataclass(frozen=True)
class InputFormReport:
    """The chosen form, and what was measured."""

    scores: list[FormScore]
    """All forms that were measured to the end: the chosen one, then the common ones, each by accuracy."""
    images: int  # how many training images they were measured on
    found: Literal["given", "measured"]  # whether --input-form named it

    @property
    def best(self) -> FormScore:
        """Return the chosen form."""
        return self.scores[0]

    @property
    def runner_up(self) -> FormScore | None:
        """Return the next best form, if any came near."""
        return self.scores[1] if len(self.scores) > 1 else None

    @property
    def summary(self) -> str:
        """Return a sentence that names the form and how it was found."""
        best = self.best
        return f"input form {best.form} ({self.found}): {best.accuracy:.1%} of {self.images:,} training images right"

    @property
    def warning(self) -> str | None:
        """Return a sentence if another form is as good or the given form is poor, naming the option."""
        best, other = self.best, self.runner_up
        if self.found == "given" and best.accuracy < LEAST_ACCURACY:
            return f"with --input-form {best.form.name}, only {best.accuracy:.1%} of the training images are right"
        if other is None or best.accuracy - other.accuracy > CLOSE:
            return None
        log_losses = f"log loss {best.log_loss:.3g} against {other.log_loss:.3g}"
        if best.is_common and not other.is_common:
            reason = f"{best.form.name} is the form that tutorials use ({log_losses})"
        elif best.log_loss <= other.log_loss:
            reason = log_losses
        else:
            reason = f"accuracy ({log_losses})"
        return (
            f"the input form is a close call: accuracy {best.accuracy:.4f} on training images with {best.form.name}, "
            f"{other.accuracy:.4f} with {other.form.name}. What decided: {reason}. If you trained on the other, add "
            f"--input-form {other.form.name}"
        )

    def as_record(self) -> dict[str, Any]:
        """Return what the model's metadata say of the form."""
        form = self.best.form
        record = {
            **self.best.figures(),
            "shape": list(form.shape),
            "dtype": form.dtype,
            "found": self.found,
            "images": self.images,
            "split": "train",
        }
        return record if self.runner_up is None else record | {"runner_up": self.runner_up.figures()}


def plausible_shapes(shape: Sequence[int | None] | None) -> list[tuple[int, ...]]:
    """Return the shapes of one image that fit what a network declares (None is a free side), without the batch.

    An empty list means that it takes no images of 28x28 pixels.
    """
    if shape is None:
        return [(28, 28), (PIXELS,), (28, 28, 1), (1, 28, 28)]
    known = [(28, 28), (PIXELS,), (PIXELS, 1), (1, PIXELS), (28, 28, 1), (1, 28, 28), (28, 28, 3), (3, 28, 28)]
    padded = [(32, 32, 1), (1, 32, 32), (32, 32, 3), (3, 32, 32), (32, 32)]
    for shapes in (known, padded):
        fits = [
            one
            for one in shapes
            if len(one) == len(shape) and all(side in (None, mine) for side, mine in zip(shape, one, strict=True))
        ]
        if fits:
            return fits
    return []


def with_measured_form(original: Original, split: Split) -> tuple[Original, InputFormReport]:
    """Return the original with its input form, measured on training images (`split` is "train").

    A form that the original was opened with is measured, but kept. Raises ModelError if no form gives more than half
    of the images their label.
    """
    report = measure_input_form(original, split)
    if report.found == "measured" and report.best.accuracy < LEAST_ACCURACY:
        raise ModelError(
            f"{original.path} was not trained on these images: its best input form, {report.best.form.name}, gets "
            f"{report.best.accuracy:.1%} of {report.images:,} training images of Fashion-MNIST right. If it was, and "
            "its classes are in the dataset's order, name the form with --input-form"
        )
    return replace(original, form=report.best.form), report


def measure_input_form(original: Original, split: Split) -> InputFormReport:
    """Try a network on training images in every plausible form, or in the one that it was opened with."""
    step = max(1, len(split.images) // IMAGES)
    images, labels = split.images[::step][:IMAGES], split.labels[::step][:IMAGES]
    first = slice(0, FIRST_IMAGES)
    likely = [(form, _probabilities(original, form, images[first])) for form in _forms(original)]
    accuracies = [_accuracy(probabilities, labels[first]) for _, probabilities in likely]
    scores = []
    for (form, begun), accuracy in zip(likely, accuracies, strict=True):
        if accuracy >= max(accuracies) - HOPELESS:
            rest = _probabilities(original, form, images[FIRST_IMAGES:])
            scores.append(_score(form, np.concatenate([begun, rest]), labels))
    return InputFormReport(_ordered(scores), len(images), "measured" if original.form is None else "given")


def _forms(original: Original) -> Iterator[InputForm]:
    if original.form is not None:
        yield original.form
        return
    integers = np.dtype(original.dtype).kind in "iu"
    names = FORM_NAMES if original.form_name is None else (original.form_name,)
    for shape in original.shapes:
        for name in names:
            if not integers or name.removesuffix(INVERTED) == "0..255":
                yield InputForm(name, shape, original.dtype)


def _probabilities(original: Original, form: InputForm, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the answers, float32 [n, 10]; all 0 where the network gives no numbers in this form."""
    answers = replace(original, form=form).predict(images)
    return np.where(np.isfinite(answers).all(axis=1, keepdims=True), answers, np.float32(0))


def _accuracy(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    return float(np.mean((probabilities.argmax(axis=1) == labels) & (probabilities.max(axis=1) > 0)))


def _score(form: InputForm, probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> FormScore:
    right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    log_loss = float(-np.log(np.clip(right, _LEAST_PROBABILITY, 1)).mean())
    return FormScore(form, _accuracy(probabilities, labels), log_loss)


def _ordered(scores: list[FormScore]) -> list[FormScore]:
    """Return the chosen form first, then the common ones, each by accuracy.

    Chosen is the most accurate form; of those close to it a common one, and of several the one of least log loss.
    """
    most = max(score.accuracy for score in scores)
    near = [score for score in scores if score.accuracy >= most - BY_LOG_LOSS]
    best = min([score for score in near if score.is_common] or near, key=lambda score: score.log_loss)
    others = [score for score in scores if score is not best]
    return [best, *sorted(others, key=lambda score: (not score.is_common, -score.accuracy, score.log_loss))]
