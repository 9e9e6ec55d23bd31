"""Shares of images with how far chance may have moved them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Z_95: Final = 1.959963984540054  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True)
class Share:
    """How many of some images have a property, with the interval of the true share."""

    count: int
    total: int
    share: float | None
    """count / total, 0..1; None for no images."""
    low: float
    """Lower end of the 95 % interval, 0..1."""
    high: float
    """Upper end of the 95 % interval, 0..1."""

    @classmethod
    def of(cls, flags: NDArray[np.bool_]) -> Share:
        """Count the True among flags, bool [n]."""
        count, total = int(flags.sum()), len(flags)
        return cls(count, total, count / total if total else None, *wilson_interval(count, total))


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a binomial share, both ends 0..1; (0, 1) for no images.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22; it keeps its
    coverage near 0 and 1 and for few images, where the textbook's +-1.96 s does not (Brown, Cai, DasGupta 2001).
    """
    if not total:
        return 0.0, 1.0
    share, z2 = count / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    # At 0 and 1 the formula gives exactly 0 and 1, but for rounding.
    return (0.0 if count == 0 else centre - half), (1.0 if count == total else centre + half)
