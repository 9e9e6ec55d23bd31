"""Folders of PNG files: through the command line, and through Pillow alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fmnist_bench.measuring.environment import environment
from fmnist_bench.measuring.launching import command_line, launch, script
from fmnist_bench.measuring.plan import cores
from fmnist_bench.row import Row, Sample, row_of

Key = tuple[str, int]
"""Contender, worker processes."""


def measure_folder(folder: Path, count: int, runs: int, on_step: Callable[[str], None]) -> list[Row]:
    """Classify a folder of `count` PNG files `runs` times each way, taking turns; once before, unmeasured.

    The memory is that of the first process alone, also where it has workers. Raises GateError if a run fails.
    """
    commands = _commands(folder)
    samples: dict[Key, list[Sample]] = {key: [] for key in commands}
    for number in range(runs + 1):
        on_step(f"{count:,} files")
        for key, command in commands.items():
            launched = launch(command, environment(), discard=True)
            if number:
                samples[key].append(launched.as_sample())
    return [
        row_of("folder", contender, taken, threads=workers, images=count)
        for (contender, workers), taken in samples.items()
    ]


def _commands(folder: Path) -> dict[Key, list[str]]:
    ours = [*command_line(), "classify", "-r", str(folder)]
    commands: dict[Key, list[str]] = {("int8-classifier", 1): ours}
    if cores() > 1:
        commands["int8-classifier", cores()] = [*ours, "--workers", str(cores())]
    commands["pillow", 1] = script("pillow_folder", folder)
    return commands
