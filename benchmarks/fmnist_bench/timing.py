"""Timing: rounds in which several functions take turns, whole processes, and the statistics of a row."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fmnist_edge.errors import GateError

Run = Callable[[], object]
Measure = Callable[..., None]
"""Takes a Run, and extra_info by name: the suite's fixture `measure`."""

# Long enough to hide a change of backend (caches, sleeping threads), short enough that a disturbance of a shared
# machine hits a few rounds of each backend and not all rounds of one.
ROUND_SECONDS: Final = 0.03
# Some machines set OpenBLAS's for old libraries, which slows numpy; those of pytest-xdist would end all measuring.
_DROPPED: Final = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTEST_")
_POOLS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def environment() -> dict[str, str]:
    """Return this process's environment with one thread for every library that reads it, and fewer log messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    return kept | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"} | dict.fromkeys(_POOLS, "1")


@dataclass(frozen=True)
class Turn:
    """A function that takes turns with others: `rounds` of `iterations` calls."""

    run: Run
    iterations: int
    rounds: int
    record: Callable[[float], object]  # receives the seconds of each round


def calibrate(run: Run, seconds: float, fewest: int) -> tuple[int, int]:
    """Return (iterations, rounds) that take about `seconds` in total, at least `fewest` rounds; this also warms up."""
    run()
    iterations = 1
    while (taken := timed(run, iterations)) < ROUND_SECONDS / 4:
        iterations *= 2
    return max(1, round(ROUND_SECONDS * iterations / taken)), max(fewest, int(seconds / max(ROUND_SECONDS, taken)))


def timed(run: Run, iterations: int = 1) -> float:
    """Return the seconds that a number of calls take, with garbage collection off."""
    turns, enabled = range(iterations), gc.isenabled()
    gc.disable()
    try:
        begun = time.perf_counter()
        for _ in turns:
            run()
        return time.perf_counter() - begun
    finally:
        if enabled:
            gc.enable()


def interleave(turns: Sequence[Turn]) -> None:
    """Run the rounds of all turns in rotation, each time starting with another one.

    A turn with fewer rounds has them spread evenly over the time of the others.
    """
    most = max((turn.rounds for turn in turns), default=0)
    for number in range(most):
        first = number % len(turns)
        for turn in [*turns[first:], *turns[:first]]:
            if (number + 1) * turn.rounds // most > number * turn.rounds // most:
                turn.record(timed(turn.run, turn.iterations))


def start(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """Run a command, by default in `environment()`, and return its output. Raises GateError if it fails."""
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, env=environment() if variables is None else variables, **options)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise GateError(f"{' '.join(command[:3])} failed: {reason}")
    return str(done.stdout)


# A small process starts the command, because Linux includes the memory of the parent in the child's peak.
_PEAK: Final = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def peak_bytes(command: Sequence[str]) -> int | None:
    """Return the largest resident memory of a command; None on Windows, which doesn't report it."""
    if sys.platform == "win32":
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * int(start([sys.executable, "-I", "-S", "-c", _PEAK, *command]))


def stats_of(data: Sequence[float], iterations: int) -> dict[str, Any]:
    """Return `stats` as in pytest-benchmark's JSON, from the seconds per call of each round; at least two rounds."""
    q1, median, q3 = statistics.quantiles(data, method="inclusive")
    mean, stddev, low, high = statistics.fmean(data), statistics.stdev(data), 2.5 * q1 - 1.5 * q3, 2.5 * q3 - 1.5 * q1
    far, odd = sum(abs(one - mean) > stddev for one in data), sum(not low <= one <= high for one in data)
    found = {"min": min(data), "max": max(data), "mean": mean, "stddev": stddev, "rounds": len(data), "median": median}
    found |= {"iqr": q3 - q1, "q1": q1, "q3": q3, "iqr_outliers": odd, "stddev_outliers": far}
    found |= {"ld15iqr": min(one for one in data if one >= low), "hd15iqr": max(one for one in data if one <= high)}
    found |= {"ops": 1 / mean, "total": sum(data)}
    return found | {"outliers": f"{far};{odd}", "data": list(data), "iterations": iterations}
