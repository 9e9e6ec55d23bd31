"""One answer of the classifier."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import LABELS


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one image."""

    probabilities: NDArray[np.float32]
    """float32 [10], sums to 1, in the order of `LABELS`."""
    labels: tuple[str, ...] = LABELS
    """The names of the classes."""
    image: NDArray[np.uint8] | None = None
    """What the network saw: uint8 [28, 28], the garment bright on black."""
    mask: NDArray[np.uint8] | None = None
    """Of a photo, where the garment was found: uint8 [96, 96] over the whole photo; None for a dataset image."""
    threshold: float = 0.0
    """The confidence below which the model's makers call its answer unsure, 0..1; 0 for dataset images."""
    first_of_several: bool = False
    """The file holds several frames (an animation, a scan of several pages); the answer is for the first."""

    @cached_property
    def index(self) -> int:
        """The number of the best class, 0..9; of equal ones the first."""
        return int(np.argmax(self.probabilities))

    @property
    def label(self) -> str:
        """The name of the best class."""
        return self.labels[self.index]

    @property
    def confidence(self) -> float:
        """The probability of the best class, 0..1."""
        return float(self.probabilities[self.index])

    def top(self, count: int) -> list[tuple[int, float]]:
        """Return the `count` best classes as (index, probability), best first, ties by index."""
        if count == 1:
            return [(self.index, self.confidence)]
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(int(index), float(self.probabilities[index])) for index in order]
