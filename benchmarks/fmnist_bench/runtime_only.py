"""The groups that need nothing but the runtime, on any device: no pytest, no TensorFlow, no dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fmnist_bench import workloads
from fmnist_bench.backends import BACKENDS, OURS, Images, environment
from fmnist_bench.machine import load_average
from fmnist_bench.models import Prepared
from fmnist_bench.report import COLD, FOLDER, IMPORT, MANY, ONE, PHOTO, PNG
from fmnist_bench.timing import Run, Turn, calibrate, interleave, peak_bytes, stats_of
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

Row = tuple[str, str, str, Run, dict[str, Any]]
"""Group, test and parameter of the suite's benchmark that measures the same; what runs; extra_info."""


def measure(
    model: Path | None, images: Images, scratch: Path, seconds: float, fewest: int, on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Return the rows in pytest-benchmark's form, under the names that the suite gives them; `seconds` for each row."""
    load, int8, rows = load_average(), model or EMBEDDED_CLASSIFIER, []
    for group, test, param, run, extra in _rows(int8, images, scratch):
        on_step(f"{group}: {param}")
        iterations, rounds = calibrate(run, seconds, fewest)
        taken: list[float] = []
        interleave([Turn(run, iterations, rounds, taken.append)])
        stats, name = (
            stats_of([one / iterations for one in taken], iterations),
            f"test_{test}[{param}]".rpartition("::")[2],
        )
        row: dict[str, Any] = {"group": group, "name": name, "fullname": f"test_{test}[{param}]", "params": None}
        rows.append(row | {"param": param, "extra_info": extra, "options": {"disable_gc": True}, "stats": stats})
    about = Prepared(int8).about(load) | {"missing": {}}
    run_info = {"machine_info": {}, "commit_info": {}, "datetime": datetime.now(UTC).isoformat(), "version": ""}
    return run_info | {"benchmarks": rows, "fmnist_edge": about}


def _rows(int8: Path, images: Images, scratch: Path) -> Iterator[Row]:
    for key in (OURS, "onnxruntime-int8"):
        network, many = BACKENDS[key].open(int8), {"images": len(images), "bytes": int8.stat().st_size}
        yield ONE, "latency.py::test_one_image", key, workloads.one_image(network, images), {}
        yield PNG, "latency.py::test_png_to_label", key, workloads.png_to_label(network, images), {}
        yield MANY, "throughput.py::test_ten_thousand", key, workloads.ten_thousand(network, images), many
    for form in workloads.PHOTOS if int8 == EMBEDDED_CLASSIFIER else ():
        photos = BACKENDS[OURS].open(EMBEDDED_PHOTO_MODEL)
        yield PHOTO, "latency.py::test_photo_to_label", form, workloads.photo_to_label(photos, images, form), {}
    pictures = workloads.write_folder(images, scratch / "folder")
    classify, importing = (
        workloads.fmnist_edge("classify", "-r", pictures),
        [sys.executable, "-c", "import fmnist_edge"],
    )
    starting = workloads.label_once(OURS, int8, pictures / "00000.png")
    for group, test, param, command, extra in (
        (FOLDER, "throughput.py::test_folder", OURS, classify, {"images": workloads.FOLDER_FILES}),
        (COLD, "process.py::test_cold_start", OURS, starting, {}),
        (IMPORT, "process.py::test_import", "fmnist_edge", importing, {}),
    ):
        memory = {"peak_bytes": peak_bytes(command, environment())}
        yield group, test, param, workloads.process(command), extra | memory
