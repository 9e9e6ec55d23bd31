"""Fixtures of the benchmarks: models and pictures, made once, and rounds in which a group's backends take turns."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fmnist_bench import environment

os.environ.update(environment())  # before numpy is imported, which reads its number of threads once

from fmnist_bench import workloads
from fmnist_bench.backends import BACKENDS, Images, Network
from fmnist_bench.models import Prepared, load_average, prepare
from fmnist_bench.workloads import Measure, Run, Turn, calibrate, interleave
from fmnist_edge.errors import DataError

_turns: list[Turn] = []
_load = load_average()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fmnist-edge")
    group.addoption("--original", type=Path, help="the Keras or float ONNX model that --model was made from")
    group.addoption("--model", type=Path, help="the .onnx file to measure, instead of the shipped one")
    group.addoption("--require-all", action="store_true", help="fail if a backend is not installed")


@pytest.fixture(scope="session")
def images() -> Images:
    try:
        return workloads.test_images()
    except DataError:
        subprocess.run(workloads.fmnist_edge("data", "fetch"), check=True)
        return workloads.test_images()


@pytest.fixture(scope="session")
def prepared(pytestconfig: pytest.Config, images: Images) -> Prepared:
    return prepare(pytestconfig.getoption("--original"), pytestconfig.getoption("--model"))


@pytest.fixture(scope="session")
def pictures(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workloads.write_folder(images, tmp_path_factory.mktemp("folder"))


@pytest.fixture
def model(backend: str, prepared: Prepared, pytestconfig: pytest.Config) -> Path:
    """The file of the backend; a benchmark without one is skipped, by name."""
    try:
        return prepared.file(backend)
    except LookupError as error:
        if pytestconfig.getoption("--require-all"):
            pytest.fail(f"{backend}: {error}")
        pytest.skip(f"{backend}: {error}")


@pytest.fixture
def network(backend: str, model: Path) -> Network:
    return _opened(backend, model)


@cache
def _opened(backend: str, model: Path) -> Network:
    return BACKENDS[backend].open(model)


@pytest.fixture
def measure(benchmark: Any, pytestconfig: pytest.Config) -> Measure:
    """Measure a function in rounds that take turns with those of its group's other benchmarks.

    The first round is pytest-benchmark's own. The others follow when the whole group is ready, and go into the same
    statistics. Their number depends on --benchmark-max-time and --benchmark-min-rounds.
    """

    def taking_turns(run: Run, **extra_info: object) -> None:
        benchmark.extra_info.update(extra_info)
        if benchmark.disabled:
            benchmark.pedantic(run)
            return
        seconds, fewest = (pytestconfig.getoption(f"benchmark_{name}") for name in ("max_time", "min_rounds"))
        iterations, rounds = calibrate(run, float(seconds), fewest)
        benchmark.pedantic(run, rounds=1, iterations=iterations)
        _turns.append(Turn(run, iterations, rounds - 1, benchmark.stats.update))

    return taking_turns


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run the rounds of a group after its last benchmark."""
    groups = {mark.kwargs["group"] for one in (item, nextitem) if one for mark in one.iter_markers("benchmark")}
    if _turns and (nextitem is None or len(groups) > 1):
        turns = _turns.copy()
        _turns.clear()
        interleave(turns)


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Add what the report says in addition to times."""
    output_json["fmnist_edge"] = prepare(config.getoption("--original"), config.getoption("--model")).about(_load)
