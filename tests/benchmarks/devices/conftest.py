"""The workload as `make devices` writes it, and this machine's own answers to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fmnist_bench.devices.matrix import DEVICES
from fmnist_bench.devices.result import Result
from fmnist_bench.devices.running import run_device
from fmnist_bench.devices.tools import Tools
from fmnist_bench.devices.workload import Workload, write_workload


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return Tools(tmp_path_factory.mktemp("tools"))


@pytest.fixture(scope="session")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return write_workload(tmp_path_factory.mktemp("workload"))


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answers") / "this-machine"


@pytest.fixture(scope="session")
def this_machine(workload: Workload, tools: Tools, reference: Path) -> Result:
    return run_device(DEVICES[0], workload, tools, reference, reference)
