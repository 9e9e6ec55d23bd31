"""The groups that need nothing but the runtime, on any device: no pytest, no TensorFlow, no dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fmnist_bench import workloads
from fmnist_bench.backends import BACKENDS, OURS, environment
from fmnist_bench.machine import load_average
from fmnist_bench.models import Prepared
from fmnist_bench.report import COLD, FOLDER, IMPORT, MANY, ONE, PHOTO, PNG
from fmnist_bench.timing import Run, Turn, calibrate, interleave, peak_bytes, stats_of
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

Row = tuple[str, str, str, str, Run, dict[str, Any]]
"""Group, test, name and value of its parameter (as the suite has them), what runs, extra_info."""


def measure(
    model: Path | None, data: Path | None, scratch: Path, seconds: float, fewest: int, on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Return the rows in pytest-benchmark's form, under the names that the suite gives them; `seconds` for each row."""
    load, prepared = load_average(), Prepared(model or EMBEDDED_CLASSIFIER)
    benchmarks = []
    for group, test, name, value, run, extra in _rows(prepared.int8, data, scratch):
        on_step(f"{group}: {value}")
        iterations, rounds = calibrate(run, seconds, fewest)
        taken: list[float] = []
        interleave([Turn(run, iterations, rounds, taken.append)])
        function = test.rpartition(":")[2]
        row: dict[str, Any] = {"group": group, "name": f"{function}[{value}]", "fullname": f"{test}[{value}]"}
        row |= {"params": {name: value}, "param": value, "extra_info": extra, "options": {"disable_gc": True}}
        benchmarks.append(row | {"stats": stats_of([one / iterations for one in taken], iterations)})
    about = prepared.about(load) | {"missing": {}}
    run_info = {"machine_info": {}, "commit_info": {}, "datetime": datetime.now(UTC).isoformat(), "version": ""}
    return run_info | {"benchmarks": benchmarks, "fmnist_edge": about}


def _rows(int8: Path, data: Path | None, scratch: Path) -> Iterator[Row]:
    inputs = workloads.test_images(data, draw=True)
    for key in (OURS, "onnxruntime-int8"):
        network, many = BACKENDS[key].open(int8), {"images": len(inputs.pixels), "bytes": int8.stat().st_size}
        yield ONE, "test_latency.py::test_one_image", "backend", key, workloads.one_image(network, inputs), {}
        yield PNG, "test_latency.py::test_png_to_label", "backend", key, workloads.png_to_label(network, inputs), {}
        yield (
            MANY,
            "test_throughput.py::test_ten_thousand",
            "backend",
            key,
            workloads.ten_thousand(network, inputs),
            many,
        )
    for form in workloads.PHOTOS if int8 == EMBEDDED_CLASSIFIER else ():
        run = workloads.photo_to_label(BACKENDS[OURS].open(EMBEDDED_PHOTO_MODEL), inputs, form)
        yield PHOTO, "test_latency.py::test_photo_to_label", "form", form, run, {}
    pictures, importing = (
        workloads.write_folder(inputs, scratch / "folder"),
        [sys.executable, "-c", "import fmnist_edge"],
    )
    commands: list[tuple[str, str, str, str, list[str], dict[str, Any]]] = [
        (
            FOLDER,
            "test_throughput.py::test_folder",
            "backend",
            OURS,
            workloads.folder(OURS, pictures),
            {"images": workloads.FOLDER_FILES},
        ),
        (
            COLD,
            "test_process.py::test_cold_start",
            "backend",
            OURS,
            workloads.cold_start(OURS, int8, pictures / "00000.png"),
            {},
        ),
        (IMPORT, "test_process.py::test_import", "module", "fmnist_edge", importing, {}),
    ]
    for group, test, name, value, command, extra in commands:
        extra["peak_bytes"] = peak_bytes(command, environment())
        yield group, test, name, value, workloads.process(command), extra
