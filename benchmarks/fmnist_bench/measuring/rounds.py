"""Rounds of in-process figures: each family in a process of its own, one after the other, again and again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fmnist_bench.measuring as here
from fmnist_bench.measuring.environment import environment
from fmnist_bench.measuring.in_process import Task
from fmnist_bench.row import Row, Sample, row_of
from fmnist_edge.errors import GateError

_SUITE: Final = Path(here.__file__).with_name("in_process.py")
Key = tuple[str, str, int]
"""Figure, contender, threads."""


@dataclass(frozen=True)
class Measured:
    """What the rounds gave."""

    rows: list[Row]
    accuracies: dict[str, float]
    """Contender to its accuracy on the test images, 0..1."""


def measure_rounds(rounds: Iterable[list[Task]], raw: Path, on_step: Callable[[str], None]) -> Measured:
    """Run every round's tasks, and merge what they measured. The raw data of each process stays in `raw`.

    Raises GateError if a process fails, or a contender's accuracy is not the same in all: then the run is broken.
    """
    samples: dict[Key, list[Sample]] = defaultdict(list)
    infos: dict[Key, dict[str, Any]] = {}
    for number, tasks in enumerate(rounds, 1):
        for task in tasks:
            on_step(f"round {number}: {task.family}, {task.threads} thread{'s' if task.threads > 1 else ''}")
            for info, seconds in _measured(task, raw / f"{number}-{task.family}-{task.threads}.json"):
                key = (info["figure"], info["contender"], task.threads)
                if infos.setdefault(key, info) != info:
                    raise GateError(f"{key[1]} is not as accurate in one process as in another: {infos[key]}, {info}")
                samples[key].append(Sample(seconds))
    rows = [
        row_of(figure, contender, samples[figure, contender, threads], threads=threads, images=info.get("images", 1))
        for (figure, contender, threads), info in infos.items()
    ]
    return Measured(rows, {info["contender"]: info["accuracy"] for info in infos.values() if "accuracy" in info})


def _measured(task: Task, result: Path) -> list[tuple[dict[str, Any], list[float]]]:
    """Run one task in a process of its own; return (what, seconds of each run) for each of its rows."""
    result.parent.mkdir(parents=True, exist_ok=True)
    settings = result.parent / "pytest.ini"  # else pytest would find that of a checkout
    settings.write_text("[pytest]\n")
    options = ["-q", "-c", str(settings), "-p", "no:cacheprovider", "-p", "fmnist_bench.measuring.quiet_plugin"]
    options += ["--import-mode=importlib", "--benchmark-disable-gc", "--benchmark-warmup=on", "--benchmark-quiet"]
    command = [sys.executable, "-m", "pytest", *options, f"--benchmark-json={result}", str(_SUITE)]
    variables = environment(task.threads) | task.as_environment()
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    if done.returncode != 0:
        result.with_suffix(".log").write_text(done.stdout + done.stderr, encoding="utf-8")
        raise GateError(f"the benchmarks of {task.family} failed: see {result.with_suffix('.log')}")
    benchmarks = json.loads(result.read_bytes())["benchmarks"]
    return [(one["extra_info"], one["stats"]["data"]) for one in benchmarks]
