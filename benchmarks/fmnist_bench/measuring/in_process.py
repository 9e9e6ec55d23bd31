"""The in-process figures, as pytest-benchmark runs them. One process measures one family at one number of threads.

Run by `rounds.measure_round`, or by hand: `pytest benchmarks/test_in_process.py`. What to measure comes from the
environment: $FMNIST_BENCH is a JSON object, see `Task`.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from fmnist_bench.contenders.opened import Opened
from fmnist_bench.contenders.registry import CONTENDERS, Contender, contender
from fmnist_bench.measuring.inputs import TestImages, load_test_images
from fmnist_bench.measuring.plan import MOST_RUNS, WARM_UP

TASK: Final = "FMNIST_BENCH"
STAGES: Final = ("png-to-label", "png-decode", "png-prepare", "png-run")


@dataclass(frozen=True)
class Task:
    """What a process measures."""

    models: str
    """Folder of the prepared models."""
    images: str
    """The file of `inputs.write_test_images`."""
    family: str
    threads: int
    seconds: float
    """Time for a row, about."""
    fewest: int
    """Runs of a row, however slow it is."""

    def as_environment(self) -> dict[str, str]:
        """Return the environment variable that hands this task to the process."""
        return {TASK: json.dumps(asdict(self))}


@cache
def task() -> Task:
    """Return the task of this process; by hand, a short one for the family `onnx`."""
    if TASK in os.environ:
        return Task(**json.loads(os.environ[TASK]))
    return Task("build/bench-quick/models", "build/bench-quick/test-images.npz", "onnx", 1, 0.2, 3)


@cache
def images() -> TestImages:
    """Return the test images."""
    return load_test_images(Path(task().images))


@cache
def opened(key: str) -> Opened:
    """Open a contender, once a process."""
    return contender(key).open(Path(task().models), task().threads)


def _keys(figure: str) -> list[str]:
    """Name the contenders of this process's family that have a figure and can run here."""
    return [one.key for one in CONTENDERS if figure in one.figures and _can_run(one)]


def _can_run(one: Contender) -> bool:
    return one.family == task().family and not one.missing() and (Path(task().models) / one.model).is_file()


@pytest.mark.parametrize("key", _keys("one-image") if task().threads == 1 else [])
def test_one_image(key: str, benchmark: Any) -> None:
    """The model alone, for one image after the other."""
    contestant = opened(key)
    batches = [contestant.prepare(image[None]) for image in images().pixels[:1000]]
    _measure(benchmark, contestant.run, batches)
    benchmark.extra_info.update(figure="one-image", contender=key)


@pytest.mark.parametrize("figure", STAGES)
@pytest.mark.parametrize("key", _keys("png-to-label") if task().threads == 1 else [])
def test_png_to_label(key: str, figure: str, benchmark: Any) -> None:
    """From the bytes of a file to the label, and the stages of that way."""
    contestant, files = opened(key), images().files
    pixels = [contestant.decode(file)[None] for file in files]
    stages: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        "png-to-label": (contestant.png_to_label, files),
        "png-decode": (contestant.decode, files),
        "png-prepare": (contestant.prepare, pixels),
        "png-run": (contestant.label, [contestant.prepare(one) for one in pixels]),
    }
    _measure(benchmark, *stages[figure])
    benchmark.extra_info.update(figure=figure, contender=key)


@pytest.mark.parametrize("key", _keys("ten-thousand"))
def test_ten_thousand(key: str, benchmark: Any) -> None:
    """All test images at once; their answers give the accuracy that is printed beside the speed."""
    contestant, everything = opened(key), images()
    batch = contestant.prepare(everything.pixels)
    best = np.asarray(contestant.run_many(batch)).argmax(axis=1)
    _measure(benchmark, contestant.run_many, [batch])
    benchmark.extra_info.update(
        figure="ten-thousand", contender=key, images=len(best), accuracy=float(np.mean(best == everything.labels))
    )


def _measure(benchmark: Any, function: Callable[[Any], Any], inputs: list[Any]) -> None:
    """Time `function` on the inputs in turn, each run by itself, for about the seconds of the task."""
    turns = cycle(inputs)
    rounds = _rounds(function, turns)
    warm_up = max(2, round(rounds * WARM_UP))
    gc.collect()
    benchmark.pedantic(function, setup=lambda: ((next(turns),), {}), rounds=rounds, warmup_rounds=warm_up)


def _rounds(function: Callable[[Any], Any], turns: Iterator[Any]) -> int:
    """Return how many runs fit into the task's time, judged by a few after the first."""
    function(next(turns))
    begun = time.perf_counter()
    for _ in range(3):
        function(next(turns))
    each = (time.perf_counter() - begun) / 3
    return min(MOST_RUNS, max(task().fewest, int(task().seconds / each)))
