"""What the runtime alone costs, on any device: rows of one installation of fmnist-edge, or of two taking turns."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import fmnist_edge
from fmnist_bench.measuring.environment import environment
from fmnist_bench.measuring.launching import command_line, entry_point, launch, script
from fmnist_bench.measuring.plan import cores
from fmnist_bench.row import Row, Sample, row_of

IN_PROCESS: Final = ("one-image", "png-to-label", "ten-thousand")
COLD_START: Final = "cold-start"
ALL_FIGURES: Final = (COLD_START, *IN_PROCESS)
# Starts that one sample of a cold start is the median of: one alone, on a busy machine, says nothing.
STARTS: Final = 3
YARDSTICKS: Final = {
    "cold-start": "numpy-import",
    "one-image": "matmul",
    "png-to-label": "pillow-decode",
    "ten-thousand": "matmul",
}
Key = tuple[str, str, int]
"""Figure, contender, threads."""


@dataclass(frozen=True)
class Side:
    """An installation of fmnist-edge to be measured."""

    name: str
    root: Path
    """The folder that holds the package `fmnist_edge`."""
    command: tuple[str, ...]
    """What starts its command line."""

    def variables(self, threads: int | None = None) -> dict[str, str]:
        """Return the environment in which this package is the one that is imported."""
        return environment(threads) | {"PYTHONPATH": str(self.root)}


def this_side() -> Side:
    """Return the installation that runs."""
    return Side("this one", Path(fmnist_edge.__file__).parents[1], tuple(command_line()))


def laid_out(name: str, root: Path, entry: str) -> Side:
    """Return an installation that is but a folder with the package in it."""
    return Side(name, root, tuple(entry_point(entry)))


@dataclass(frozen=True)
class Probe:
    """What is measured of each side."""

    images: Path
    """The file of `inputs.write_test_images`, or one with `pixels` alone."""
    png: Path
    """The file that cold starts classify."""
    figures: Sequence[str] = ALL_FIGURES
    seconds: float = 0.5
    """Time for a row in a process, about."""


def measure_sides(
    sides: Sequence[Side], probe: Probe, rounds: int, on_step: Callable[[str], None]
) -> list[dict[Key, list[Sample]]]:
    """Return each side's samples by row, one for each round. In each round the sides swap their order.

    Raises GateError if a process fails.
    """
    found: list[dict[Key, list[Sample]]] = [defaultdict(list) for _ in sides]
    for number in range(rounds):
        turns = list(enumerate(sides))
        for place, side in turns if number % 2 == 0 else reversed(turns):
            on_step(f"{side.name}, round {number + 1}")
            for key, sample in _measured(side, probe).items():
                found[place][key].append(sample)
    return found


def _measured(side: Side, probe: Probe) -> dict[Key, Sample]:
    """Measure every row of a side once: a process for one thread, one for all cores, and some cold starts."""
    figures = [figure for figure in probe.figures if figure in IN_PROCESS]
    samples = _in_process(side, probe, 1, figures) if figures else {}
    if cores() > 1 and "ten-thousand" in figures:
        samples |= _in_process(side, probe, cores(), ["ten-thousand"])
    if COLD_START in probe.figures:
        classify = [*side.command, "classify", str(probe.png)]
        importing = [sys.executable, "-c", "import numpy"]
        for key, command in (("int8-classifier", classify), (YARDSTICKS[COLD_START], importing)):
            samples[COLD_START, key, 1] = _started(command, side.variables())
    return samples


def _in_process(side: Side, probe: Probe, threads: int, figures: Sequence[str]) -> dict[Key, Sample]:
    command = [*script("probe", probe.images), str(probe.seconds), str(threads), *figures]
    taken = json.loads(launch(command, side.variables(threads)).output)
    return {
        (figure, contender, threads): Sample(seconds)
        for figure, contenders in taken.items()
        for contender, seconds in contenders.items()
    }


def _started(command: Sequence[str], variables: dict[str, str]) -> Sample:
    launched = [launch(command, variables) for _ in range(STARTS)]
    cpu = sorted(one.cpu_seconds for one in launched if one.cpu_seconds is not None)
    peak = [one.peak_bytes for one in launched if one.peak_bytes is not None]
    return Sample([one.seconds for one in launched], cpu[len(cpu) // 2] if cpu else None, max(peak, default=None))


def rows_of(samples: dict[Key, list[Sample]], images: int) -> list[Row]:
    """Return the rows of one side; `images` is how many the figure "ten-thousand" ran."""
    return [
        row_of(figure, contender, taken, threads=threads, images=images if figure == "ten-thousand" else 1)
        for (figure, contender, threads), taken in samples.items()
    ]
