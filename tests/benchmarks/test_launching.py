"""Whole processes: their output, their end, their memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fmnist_bench.measuring.environment import environment
from fmnist_bench.measuring.folders import measure_folder
from fmnist_bench.measuring.inputs import TestImages, write_folder
from fmnist_bench.measuring.launching import launch
from fmnist_edge.errors import GateError

MEGABYTES = 80


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program]


def test_a_process_is_measured_from_start_to_end() -> None:
    launched = launch(python("import time; time.sleep(0.2); print('label')"), environment())
    assert launched.output == "label\n"
    assert launched.seconds >= 0.2
    assert (launched.cpu_seconds or 0) < launched.seconds


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_the_memory_is_that_of_the_process_and_not_of_who_starts_it() -> None:
    small = launch(python("pass"), environment()).peak_bytes or 0
    large = launch(python(f"x = bytearray({MEGABYTES} * 10**6)"), environment()).peak_bytes or 0
    assert small < 30e6
    assert MEGABYTES * 1e6 <= large < small + MEGABYTES * 1.1e6


def test_a_process_that_fails_is_an_error_that_says_why() -> None:
    with pytest.raises(GateError, match=r"ended with exit code 3: it went wrong"):
        launch(python("import sys; sys.stderr.write('first\\nit went wrong'); sys.exit(3)"), environment())


def test_threads_are_set_for_every_library_and_old_settings_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    assert environment()["OMP_NUM_THREADS"] == "9"
    assert environment(1)["OMP_NUM_THREADS"] == environment(1)["OPENBLAS_NUM_THREADS"] == "1"
    assert "OPENBLAS_CORETYPE" not in environment(1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_memory_does_not_grow_with_the_number_of_files(images: TestImages, tmp_path: Path) -> None:
    peaks = {}
    for count in (300, 3000):
        rows = measure_folder(write_folder(images.pixels, tmp_path, count), count, 1, lambda _: None)
        assert {row.contender for row in rows} == {"int8-classifier", "pillow"}
        peaks[count] = next(row.peak_bytes or 0 for row in rows if row.contender == "int8-classifier")
    assert peaks[3000] < 1.05 * peaks[300]
