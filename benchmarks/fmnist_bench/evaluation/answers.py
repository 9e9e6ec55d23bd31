"""What a model said of images whose labels are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import LABELS


@dataclass(frozen=True)
class Truth:
    """What a group of images shows: a class of the dataset, or a folder of labelled images."""

    name: str
    accepted: tuple[int, ...]
    """The labels, 0..9, each of which counts as right."""


TRUTHS_OF_DATASET: Final = tuple(Truth(label, (index,)) for index, label in enumerate(LABELS))


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model said of images whose labels are known."""

    probabilities: NDArray[np.float32]
    """float32 [n, 10], each row sums to 1."""
    truth: NDArray[np.int64]
    """int64 [n], the index into `truths`."""
    truths: tuple[Truth, ...] = TRUTHS_OF_DATASET
    unreadable: tuple[int, ...] = ()
    """Images of each truth that could not be read, and are left out above; () is none."""
    images: NDArray[np.uint8] | None = None
    """What the network saw, uint8 [n, 28, 28], where it was kept."""
    names: tuple[str, ...] = ()
    """The path of each image, or () for images of the dataset, whose name is their index."""
    by_photo_model: int = 0
    """How many of the images the photo model answered; the classifier answered the others."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The best class of each image, int64 [n], 0..9; of equal ones the first."""
        best: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return best

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the best class of each image, float64 [n], 0..1."""
        best: NDArray[np.float64] = self.probabilities.max(axis=1).astype(np.float64)
        return best

    def accepted(self, forgiven: Sequence[Sequence[int]] = ()) -> NDArray[np.bool_]:
        """Return which labels are right for each image, bool [n, 10]; labels forgiven together are taken as one."""
        table = np.zeros((len(self.truths), len(LABELS)), bool)
        for row, truth in enumerate(self.truths):
            table[row, list(forgive(truth.accepted, forgiven))] = True
        return table[self.truth]

    def right(self, forgiven: Sequence[Sequence[int]] = ()) -> NDArray[np.bool_]:
        """Return which best classes are right, bool [n]."""
        return self.accepted(forgiven)[np.arange(len(self.truth)), self.predicted]


def forgive(accepted: Sequence[int], forgiven: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the accepted labels (0..9) with all that are forgiven together with one of them, in order."""
    taken = set(accepted)
    for group in forgiven:
        if not taken.isdisjoint(group):
            taken.update(group)
    return tuple(sorted(taken))
