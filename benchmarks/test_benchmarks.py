"""The benchmarks: one picture at a time, many at once, and whole processes, whose files are in the system's cache."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmnist_bench import workloads
from fmnist_bench.backends import BACKENDS, OURS, Images, Network
from fmnist_bench.models import Prepared
from fmnist_bench.workloads import Measure, peak_bytes
from fmnist_edge import LABELS
from fmnist_edge.model_info import EMBEDDED_PHOTO_MODEL


@pytest.mark.benchmark(group="one image")
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_image(backend: str, network: Network, images: Images, measure: Measure) -> None:
    measure(workloads.one_image(network, images))


@pytest.mark.benchmark(group="one PNG to its label")
@pytest.mark.parametrize("backend", BACKENDS)
def test_png_to_label(backend: str, network: Network, images: Images, measure: Measure) -> None:
    measure(workloads.png_to_label(network, images))


@pytest.mark.benchmark(group="one photo to its label")
@pytest.mark.parametrize("form", workloads.PHOTOS)
def test_photo_to_label(form: str, images: Images, measure: Measure, pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--model"):
        pytest.skip("photos: the shipped model classifies them, which is measured without --model")
    measure(workloads.photo_to_label(BACKENDS[OURS].open(EMBEDDED_PHOTO_MODEL), images, form))


@pytest.mark.benchmark(group="10,000 images")
@pytest.mark.parametrize("backend", BACKENDS)
def test_ten_thousand(
    backend: str, network: Network, model: Path, images: Images, prepared: Prepared, measure: Measure
) -> None:
    """The answers, compared with the original's, give the accuracy and parity printed beside the speed."""
    run = workloads.ten_thousand(network, images)
    extra = {"images": len(images), "bytes": model.stat().st_size} | prepared.parity(np.array(run()))
    measure(run, **extra)


@pytest.mark.benchmark(group="a folder of 2,000 PNG files")
@pytest.mark.parametrize("backend", [OURS, "pillow"])
def test_folder(backend: str, pictures: Path, measure: Measure) -> None:
    decode = workloads.label_once("pillow-folder", pictures)
    command = workloads.fmnist_edge("classify", "-r", pictures) if backend == OURS else decode
    memory = peak_bytes(command)
    measure(workloads.process(command), images=workloads.FOLDER_FILES, peak_bytes=memory)


@pytest.mark.benchmark(group="cold start")
@pytest.mark.parametrize(
    "backend", [OURS, "onnxruntime-int8", "litert-int8", "openvino-int8", "numpy", "keras-predict"]
)
def test_cold_start(backend: str, network: Network, model: Path, pictures: Path, measure: Measure) -> None:
    png = pictures / "00000.png"
    label, command = network.label(png.read_bytes()), workloads.label_once(backend, model, png)
    expected = label if backend == OURS else str(LABELS.index(label))
    measure(workloads.process(command, expected), peak_bytes=peak_bytes(command))


@pytest.mark.benchmark(group="import")
@pytest.mark.parametrize("module", ["fmnist_edge", "numpy", "sys"])
def test_import(module: str, measure: Measure) -> None:
    command = [sys.executable, "-c", f"import {module}"]
    measure(workloads.process(command), peak_bytes=peak_bytes(command))


@pytest.mark.benchmark(group="conversion")
def test_convert(prepared: Prepared, tmp_path: Path, benchmark: Any) -> None:
    if prepared.original is None:
        pytest.skip("conversion needs the original: give --original")
    command = workloads.fmnist_edge("convert", prepared.original, "-o", tmp_path)
    benchmark.pedantic(workloads.process(command), rounds=1)
