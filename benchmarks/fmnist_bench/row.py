"""One measured figure of one contender, and how many processes' raw samples become it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """What one process measured."""

    seconds: Sequence[float]
    """Each run's duration."""
    cpu_seconds: float | None = None
    """Processor time, user and system, of a whole process."""
    peak_bytes: int | None = None
    """Most resident memory of a whole process; None where the system does not tell."""


@dataclass(frozen=True)
class Row:
    """The durations of one figure for one contender."""

    figure: str
    """A key of `figures.FIGURES`."""
    contender: str
    """A key of `contenders.registry.CONTENDERS`, or of `figures.OTHERS`."""
    threads: int
    images: int
    """How many images one run takes, so that images/s = images / p50."""
    count: int
    """Runs measured, in all processes."""
    medians: tuple[float, ...]
    """Seconds: the median of each process, in the order of the rounds."""
    p50: float
    """Seconds: the median of `medians`."""
    p90: float
    """Seconds: the median of the processes' 90th percentiles; of all runs where a process is one run."""
    p99: float
    spread: float
    """(largest - smallest of `medians`) / p50."""
    cpu_seconds: float | None = None
    """Median processor time of a whole process."""
    peak_bytes: int | None = None
    """Largest resident memory of any of the processes."""

    @property
    def images_per_second(self) -> float:
        """Return the throughput at the median."""
        return self.images / self.p50

    def as_facts(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "medians": list(self.medians), "images_per_second": round(self.images_per_second, 1)}


def row_of(figure: str, contender: str, samples: Sequence[Sample], *, threads: int = 1, images: int = 1) -> Row:
    """Return the row of at least one process's samples."""
    medians = tuple(float(np.median(sample.seconds)) for sample in samples)
    p50 = float(np.median(medians))
    p90, p99 = (_percentile(samples, percent) for percent in (90, 99))
    cpu = [sample.cpu_seconds for sample in samples if sample.cpu_seconds is not None]
    peak = [sample.peak_bytes for sample in samples if sample.peak_bytes is not None]
    return Row(
        figure=figure,
        contender=contender,
        threads=threads,
        images=images,
        count=sum(len(sample.seconds) for sample in samples),
        medians=medians,
        p50=p50,
        p90=p90,
        p99=p99,
        spread=(max(medians) - min(medians)) / p50,
        cpu_seconds=float(np.median(cpu)) if cpu else None,
        peak_bytes=max(peak) if peak else None,
    )


def _percentile(samples: Sequence[Sample], percent: float) -> float:
    """Return the median of the processes' percentiles; where a process is one run, that of all processes together."""
    if all(len(sample.seconds) == 1 for sample in samples):
        return float(np.percentile([sample.seconds[0] for sample in samples], percent))
    return float(np.median([np.percentile(sample.seconds, percent) for sample in samples]))


def row_from_facts(facts: dict[str, Any]) -> Row:
    """Return the row that `as_facts` made these of; raises KeyError or TypeError for others."""
    known = {name: facts[name] for name in Row.__dataclass_fields__}
    return Row(**{**known, "medians": tuple(known["medians"])})
