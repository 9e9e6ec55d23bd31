"""The decision: is a ratio of medians a regression, or the machine's noise?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

LEAST_THRESHOLD: Final = 1.15  # a smaller change is never called a regression
TELLING: Final = 2.0  # past this threshold even twice the time would pass for noise: the row says nothing
# How many standard errors of the median a regression must stand out by. One comparison in thousands does by chance;
# `against` measures again what does, so that a report of five rows raises a false alarm once in a million or so.
SAFETY: Final = 4.0
_OF_MEDIAN: Final = math.sqrt(math.pi / 2)  # a median's standard error over that of a mean, for normal noise
# The mean range of n normal values in standard deviations (the d2 of control charts: ASTM E2587, table 1).
_MEAN_RANGE: Final = {2: 1.128, 3: 1.693, 4: 2.059, 5: 2.326, 6: 2.534, 7: 2.704, 8: 2.847, 9: 2.970, 10: 3.078}


@dataclass(frozen=True)
class Verdict:
    """What became of one row."""

    figure: str
    contender: str
    threads: int
    baseline: float
    """Seconds, or yardsticks where the baseline is of another run."""
    candidate: float
    ratio: float
    """The median of candidate / baseline; above 1 is slower."""
    threshold: float
    """What the ratio may be; at least LEAST_THRESHOLD."""

    @property
    def is_regression(self) -> bool:
        """Whether the row got slower by more than noise."""
        return self.ratio > self.threshold

    @property
    def outcome(self) -> str:
        """`ok`, `REGRESSION`, or `too noisy` where a figure twice as large would not have shown."""
        if self.is_regression:
            return "REGRESSION"
        return "ok" if self.threshold <= TELLING else "too noisy"

    @property
    def row(self) -> str:
        """Name the row, as in `ten-thousand, 2 threads`."""
        return f"{self.figure}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def as_facts(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "outcome": self.outcome}


def judge_pairs(row: tuple[str, str, int], baseline: Sequence[float], candidate: Sequence[float]) -> Verdict:
    """Judge medians that were measured in turns, pair by pair: what disturbs both of a pair falls out of its ratio."""
    ratios = np.log(np.asarray(candidate, float) / np.asarray(baseline, float))
    ratio = math.exp(float(np.median(ratios)))
    return Verdict(*row, float(np.median(baseline)), float(np.median(candidate)), ratio, _threshold(_error(ratios)))


def judge_runs(row: tuple[str, str, int], baseline: Sequence[float], candidate: Sequence[float]) -> Verdict:
    """Judge figures of two runs, each in yardsticks of its own run."""
    before, after = float(np.median(baseline)), float(np.median(candidate))
    error = math.hypot(*(_error(np.log(np.asarray(taken, float))) for taken in (baseline, candidate)))
    return Verdict(*row, before, after, after / before, _threshold(error))


def _error(logarithms: Any) -> float:
    """Return the standard error of the median, from the range of the values; at least two of them."""
    count = len(logarithms)
    deviation = float(np.ptp(logarithms)) / _MEAN_RANGE[min(max(count, 2), 10)]
    return deviation * _OF_MEDIAN / math.sqrt(count)


def _threshold(error: float) -> float:
    return max(LEAST_THRESHOLD, math.exp(SAFETY * error))
