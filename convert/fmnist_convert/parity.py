"""How much two models disagree, and how much they may: the figures, the limits and the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.input_form import with_measured_form
from fmnist_convert.original import open_original
from fmnist_convert.progress import SILENT, Progress
from fmnist_edge.dataset import SplitName, load_split
from fmnist_edge.errors import GateError, ModelError
from fmnist_edge.model_info import LABELS

FP32_MAX_DIFFERENCE: Final = 1e-4  # in any probability, against the original
# Where the original's two best probabilities differ by less, either label is its answer: float32 arithmetic in another
# order moves a probability by up to some 1e-7, so such a label is decided by rounding.
TIE: Final = 1e-6
CALIBRATION_BINS: Final = 15  # of equal width (Guo et al. 2017, section 2)
CALIBRATED_IMAGES: Final = 1_000  # on fewer, single images decide the calibration error, so it has no limit
BATCH: Final = 500  # images between two counts
ROUNDING: Final = 1e-9  # a figure at its limit passes, however the limit is written in binary

Predictor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images, uint8 [n, ...], to probabilities, float32 [n, 10]."""


@dataclass(frozen=True)
class Limits:
    """What a quantized model may lose against its original, on the same images."""

    max_drop: float = 0.003  # in accuracy, 0..1: 0.003 is 0.3 points
    min_agreement: float = 0.985  # share of images with the same label, 0..1
    max_mean_difference: float = 0.01  # mean absolute difference of all probabilities, 0..1
    max_calibration_loss: float = 0.01  # how much the expected calibration error may rise, 0..1

    def tightened(self, share: float) -> Limits:
        """Return limits of which only a share (0..1) may be used up."""
        agreement = 1 - (1 - self.min_agreement) * share
        return Limits(
            self.max_drop * share, agreement, self.max_mean_difference * share, self.max_calibration_loss * share
        )


DEFAULT_LIMITS: Final = Limits()
OWN_LIMITS: Final = replace(DEFAULT_LIMITS, max_drop=0.001, min_agreement=0.995)  # of the network that is shipped
PHOTO_LIMITS: Final = replace(DEFAULT_LIMITS, max_drop=0.005, min_agreement=0.98)


@dataclass(frozen=True)
class Parity:
    """One model measured against another on the same images."""

    images: int
    accuracy: float  # of the model, 0..1
    reference_accuracy: float  # of the model that it is measured against, 0..1
    different_labels: int  # images whose best class differs; ties of the reference do not count
    max_difference: float  # the largest absolute difference of any probability
    mean_difference: float  # the mean absolute difference of all probabilities
    calibration_error: float = 0.0  # expected calibration error of the model, 0..1
    reference_calibration_error: float = 0.0

    @property
    def agreement(self) -> float:
        """The share of images with the same best class, 0..1."""
        return 1 - self.different_labels / self.images

    def figures(self) -> dict[str, float | int]:
        """Return what files and tables state, rounded to 4 decimals."""
        return {
            "images": self.images,
            "accuracy": round(self.accuracy, 4),
            "agreement": round(self.agreement, 4),
            "different_labels": self.different_labels,
            "max_difference": round(self.max_difference, 4),
        }

    def all_figures(self) -> dict[str, float | int]:
        """Return the figures with those of the probabilities."""
        return self.figures() | {
            "mean_difference": round(self.mean_difference, 6),
            "calibration_error": round(self.calibration_error, 4),
            "original_calibration_error": round(self.reference_calibration_error, 4),
        }


def measure_parity(probabilities: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[Any]) -> Parity:
    """Compare probabilities, float32 [n, 10] each, on n images.

    `labels` are the true classes, integers [n], or the accepted ones, bool [n, 10].
    """
    accepted = labels if labels.ndim == 2 else labels[:, None] == np.arange(len(LABELS))
    wide = reference.astype(np.float64)
    difference = np.abs(probabilities.astype(np.float64) - wide)
    rows, best = np.arange(len(wide)), probabilities.argmax(axis=1)
    different = wide.max(axis=1) - wide[rows, best] >= TIE
    return Parity(
        images=len(labels),
        accuracy=float(np.mean(accepted[rows, best])),
        reference_accuracy=float(np.mean(accepted[rows, reference.argmax(axis=1)])),
        different_labels=int(np.sum(different)),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        calibration_error=calibration_error(probabilities, accepted),
        reference_calibration_error=calibration_error(reference, accepted),
    )


def calibration_error(probabilities: NDArray[np.float32], accepted: NDArray[np.bool_]) -> float:
    """Return the expected calibration error, 0..1: |accuracy - confidence| by bins of confidence.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3. `accepted` is bool [n, 10].
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = accepted[np.arange(len(accepted)), probabilities.argmax(axis=1)]
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    missing = np.bincount(bins, right - confidence, CALIBRATION_BINS)
    return float(np.abs(missing).sum() / len(confidence))


def recall_by_class(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> dict[str, float]:
    """Return, for each class, the share of its images that get its label; float32 [n, 10], uint8 [n]."""
    right = probabilities.argmax(axis=1) == labels
    return {name: round(float(right[labels == index].mean()), 4) for index, name in enumerate(LABELS)}


def broken_limits(name: str, parity: Parity, limits: Limits) -> list[str]:
    """Return a sentence for each limit that a quantized model, called `name`, does not hold."""
    drop = parity.reference_accuracy - parity.accuracy
    loss = parity.calibration_error - parity.reference_calibration_error
    broken = []
    if drop > limits.max_drop + ROUNDING:
        broken.append(f"{drop * 100:.2f} points less accurate, more than {limits.max_drop * 100:.2g}")
    if parity.agreement < limits.min_agreement - ROUNDING:
        broken.append(f"same label for {parity.agreement:.2%}, less than {limits.min_agreement:.4g}")
    if parity.mean_difference > limits.max_mean_difference + ROUNDING:
        broken.append(f"mean |dp| {parity.mean_difference:.4f}, more than {limits.max_mean_difference:.4g}")
    if loss > limits.max_calibration_loss + ROUNDING and parity.images >= CALIBRATED_IMAGES:
        broken.append(f"calibration error {loss:.4f} higher, more than {limits.max_calibration_loss:.4g}")
    return [f"{name}: {sentence}" for sentence in broken]


def broken_float_limits(parity: Parity) -> list[str]:
    """Return a sentence for each limit that an fp32 export does not hold against its original."""
    broken = []
    if parity.max_difference > FP32_MAX_DIFFERENCE:
        broken.append(f"fp32: max |dp| {parity.max_difference:.2e} is over {FP32_MAX_DIFFERENCE:.0e}")
    if parity.different_labels:
        broken.append(f"fp32: another label for {parity.different_labels} of {parity.images} images")
    return broken


def hold_gate(broken: Sequence[str], hint: str) -> None:
    """Raise GateError if any limit is broken; `hint` says what was written and what helps."""
    if broken:
        raise GateError(f"parity gate: {'; '.join(broken)}. {hint}")


@dataclass(frozen=True)
class Row:
    """One line of the conversion's table."""

    title: str
    size: int  # bytes
    parity: Parity | None  # against the original; None for the original itself
    accuracy: float  # 0..1


def predict_split(
    path: Path, split: SplitName, data: Path | None = None, progress: Progress = SILENT
) -> tuple[NDArray[np.float32], str, NDArray[np.uint8]]:
    """Return a model's probabilities on a split, float32 [n, 10], its input form, and the true labels, uint8 [n].

    An .onnx file that `convert` wrote runs as on a device. Raises ModelError, DataError.
    """
    images = load_split(split, data)
    progress.step(f"loading {path.name}")
    original = open_original(path)
    if original.is_photo:
        raise ModelError(f"{path} is a model for photos: give classifiers of the dataset's images")
    if original.form is None:
        original, _ = with_measured_form(original, load_split("train", data))
    assert original.form is not None
    progress.step(f"running {path.name} on {len(images.labels):,} images")
    return predict_all(original.predict, images.images, progress), original.form.name, images.labels


def predict_all(
    predict: Predictor, images: NDArray[np.uint8], progress: Progress = SILENT, batch: int = BATCH
) -> NDArray[np.float32]:
    """Run a network over all images in batches, and count them: float32 [n, 10]."""
    parts = []
    for start in range(0, len(images), batch):
        progress.count(start, len(images))
        parts.append(predict(images[start : start + batch]))
    progress.count(len(images), len(images))
    return np.concatenate(parts)
