"""Whole processes: from nothing to a label, an import, a conversion. Their files lie in the system's cache."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fmnist_bench import workloads
from fmnist_bench.backends import OURS, Network, environment
from fmnist_bench.models import Prepared
from fmnist_bench.timing import Measure, peak_bytes
from fmnist_edge import LABELS

STARTED = [OURS, "onnxruntime-int8", "litert-int8", "openvino-int8", "numpy", "keras-predict"]


@pytest.mark.benchmark(group="cold start")
@pytest.mark.parametrize("backend", STARTED)
def test_cold_start(backend: str, network: Network, model: Path, pictures: Path, measure: Measure) -> None:
    png = pictures / "00000.png"
    label, command = network.label(png.read_bytes()), workloads.label_once(backend, model, png)
    expected = label if backend == OURS else str(LABELS.index(label))
    measure(workloads.process(command, expected), peak_bytes=peak_bytes(command, environment()))


@pytest.mark.benchmark(group="import")
@pytest.mark.parametrize("module", ["fmnist_edge", "numpy", "sys"])
def test_import(module: str, measure: Measure) -> None:
    command = [sys.executable, "-c", f"import {module}"]
    measure(workloads.process(command), peak_bytes=peak_bytes(command, environment()))


@pytest.mark.benchmark(group="conversion")
def test_convert(prepared: Prepared, tmp_path: Path, benchmark: Any) -> None:
    if prepared.original is None:
        pytest.skip("conversion needs the original: give --original")
    command = workloads.fmnist_edge("convert", prepared.original, "-o", tmp_path)
    benchmark.pedantic(workloads.process(command), rounds=1)
