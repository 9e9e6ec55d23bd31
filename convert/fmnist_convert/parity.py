"""How much two models disagree, and how much they may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.errors import GateError

FP32_MAX_DIFFERENCE: Final = 1e-5  # in any probability, against Keras
INT8_MAX_ACCURACY_LOSS: Final = 0.001  # against Keras, on the 10,000 test images
INT8_MIN_AGREEMENT: Final = 0.995  # share of test images with the same label as Keras
# Of the photo model, int8 against fp32 on drawn scenes and training photos.
PHOTO_MAX_ACCURACY_LOSS: Final = 0.01
PHOTO_MIN_AGREEMENT: Final = 0.98


@dataclass(frozen=True)
class Parity:
    """One model measured against another on the same images."""

    images: int
    """How many images were compared."""
    accuracy: float
    """Of the model, 0..1."""
    reference_accuracy: float
    """Of the model that it is measured against, 0..1."""
    different_labels: int
    """Images whose best class differs."""
    max_difference: float
    """The largest absolute difference of any probability."""
    mean_difference: float
    """The mean absolute difference of all probabilities."""

    @property
    def agreement(self) -> float:
        """The share of images with the same best class, 0..1."""
        return 1 - self.different_labels / self.images

    def as_facts(self) -> dict[str, float | int]:
        """Return the figures rounded to 4 decimals, which is what files and tables state."""
        return {
            "images": self.images,
            "accuracy": round(self.accuracy, 4),
            "agreement": round(self.agreement, 4),
            "different_labels": self.different_labels,
            "max_difference": round(self.max_difference, 4),
        }


def measure_parity(
    probabilities: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[np.uint8]
) -> Parity:
    """Compare probabilities, float32 [n, 10] each, on n images with the true labels uint8 [n]."""
    best, best_reference = probabilities.argmax(axis=1), reference.argmax(axis=1)
    difference = np.abs(probabilities.astype(np.float64) - reference.astype(np.float64))
    return Parity(
        images=len(labels),
        accuracy=float(np.mean(best == labels)),
        reference_accuracy=float(np.mean(best_reference == labels)),
        different_labels=int(np.sum(best != best_reference)),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
    )


def broken_limits(fp32: Parity, int8: Parity, int8_plain: Parity) -> list[str]:
    """Return a sentence for each limit that does not hold; `int8_plain` is int8 without graph optimizations."""
    broken = []
    if fp32.max_difference > FP32_MAX_DIFFERENCE:
        broken.append(f"fp32: max |dp| {fp32.max_difference:.2e} is over {FP32_MAX_DIFFERENCE:.0e}")
    for name, parity in (("int8", int8), ("int8 without graph optimizations", int8_plain)):
        loss = parity.reference_accuracy - parity.accuracy
        if loss > INT8_MAX_ACCURACY_LOSS + 1e-9:
            broken.append(f"{name}: {loss * 100:.2f} points less accurate than Keras")
        if parity.agreement < INT8_MIN_AGREEMENT - 1e-9:
            broken.append(f"{name}: same label for {parity.agreement:.2%}, less than {INT8_MIN_AGREEMENT:.1%}")
    return broken


def broken_photo_limits(measured: Mapping[str, Parity]) -> list[str]:
    """Return a sentence for each limit of the photo model that does not hold on a set of training pictures.

    Sets are by name; those that are not made of training data ("test ...", "validation ...") are reports only.
    """
    broken = []
    for name, parity in measured.items():
        if not name.startswith("train"):
            continue
        loss = parity.reference_accuracy - parity.accuracy
        if loss > PHOTO_MAX_ACCURACY_LOSS + 1e-9:
            broken.append(f"int8 on {name}: {loss * 100:.2f} points less accurate than fp32")
        if parity.agreement < PHOTO_MIN_AGREEMENT - 1e-9:
            broken.append(f"int8 on {name}: same label as fp32 for {parity.agreement:.2%}, less than 98 %")
    return broken


def hold_gate(broken: list[str]) -> None:
    """Raise GateError if any limit is broken."""
    if broken:
        raise GateError(f"parity gate: {'; '.join(broken)}. No file was written (--allow-worse writes it)")
