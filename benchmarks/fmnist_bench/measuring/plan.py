"""How much is measured: the full suite, and the quick one for CI."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Plan:
    """How often and how long."""

    name: str
    rounds: int
    """Processes for each in-process row; the contenders take turns in each round."""
    slow_rounds: int
    """The same for Keras, which takes five seconds to import."""
    all_cores_rounds: int
    """The same for the rows at all cores."""
    seconds: float
    """Time spent on a row in a process, about."""
    cold_starts: int
    """Processes for each cold start."""
    folders: tuple[int, ...]
    """Files in the folders that are classified."""
    folder_runs: int
    fewest_runs: int
    """Of a row in a process, however slow it is."""


FULL: Final = Plan("full", 5, 5, 5, 1.0, 11, (1_000, 10_000, 50_000), 5, 20)
QUICK: Final = Plan("quick", 2, 1, 1, 0.1, 2, (1_000,), 2, 3)
MOST_RUNS: Final = 5_000
WARM_UP: Final = 0.1  # share of the runs that is done before, unmeasured


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
