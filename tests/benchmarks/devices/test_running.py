"""A row of the matrix is run as a user's device would run it, and judged by what came back."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import pytest

from fmnist_bench.devices.__main__ import chosen, exit_code
from fmnist_bench.devices.device import Command, Device, Promise
from fmnist_bench.devices.matrix import DEVICES, MINUS_128
from fmnist_bench.devices.result import Result
from fmnist_bench.devices.running import run_device
from fmnist_bench.devices.table import facts, markdown
from fmnist_bench.devices.tools import NotAvailableError, Tools
from fmnist_bench.devices.workload import CLASSIFIER, PHOTO, Workload
from fmnist_bench.devices.x86 import PYTHON_PROGRAM, as_it_is


def missing(_tools: Tools) -> Command:
    raise NotAvailableError("needs a part that nobody has")


def run(device: Device, workload: Workload, tools: Tools, reference: Path) -> Result:
    return run_device(device, workload, tools, reference.with_name("device"), reference)


def swapped(workload: Workload, folder: Path, name: str, by: str) -> Workload:
    """Return the same workload with another model file under a name: a device that computes something else."""
    shutil.copytree(workload.folder, folder)
    shutil.copy(folder / f"{by}.onnx", folder / f"{name}.onnx")
    return dataclasses.replace(workload, folder=folder)


def test_this_machine_gives_the_integers_of_plain_numpy_to_the_bit(this_machine: Result) -> None:
    assert (this_machine.status, this_machine.reasons) == ("ok", ())
    assert this_machine.classifier is not None
    assert (this_machine.classifier.images, this_machine.classifier.hidden, this_machine.classifier.logits) == (
        11000,
        0,
        0,
    )
    assert this_machine.photos is not None
    assert this_machine.photos.photos >= 100
    assert set(this_machine.milliseconds) == {CLASSIFIER, PHOTO}


def test_a_device_with_other_integers_fails_and_says_how_many(
    this_machine: Result, workload: Workload, tools: Tools, reference: Path, tmp_path: Path
) -> None:
    other = swapped(workload, tmp_path / "other", CLASSIFIER, "full-range")
    result = run(DEVICES[0], other, tools, reference)
    assert result.status == "failed"
    assert any(reason.startswith("hidden layers of ") for reason in result.reasons)
    assert exit_code([this_machine, result], allow_missing=True) == 1


def test_a_fault_that_a_device_computes_rightly_is_not_caught_and_fails_the_row(
    workload: Workload, tools: Tools, reference: Path, this_machine: Result
) -> None:
    result = run(dataclasses.replace(DEVICES[0], fault=MINUS_128), workload, tools, reference)
    assert result.reasons == (f"the planted fault '{MINUS_128}' was not caught",)
    assert "NOT CAUGHT" in markdown(facts([this_machine, result], "a CPU"))


def test_a_fault_that_a_device_computes_wrongly_is_caught(
    workload: Workload, tools: Tools, reference: Path, tmp_path: Path, this_machine: Result
) -> None:
    wrong = swapped(workload, tmp_path / "wrong", MINUS_128, "full-range")
    result = run(dataclasses.replace(DEVICES[0], fault=MINUS_128), wrong, tools, reference)
    assert result.status == "ok"
    assert result.fault is not None
    assert result.fault.caught


def test_a_row_on_the_wrong_cpu_fails(workload: Workload, tools: Tools, reference: Path, this_machine: Result) -> None:
    result = run(dataclasses.replace(DEVICES[0], features={"Z80": True}), workload, tools, reference)
    assert result.reasons == ("the CPU shows no Z80: other kernels ran than those of this row",)


def test_what_cannot_be_had_is_not_run_unless_another_way_is_there(
    workload: Workload, tools: Tools, reference: Path, this_machine: Result
) -> None:
    nowhere = Device("nowhere", "none", (missing, missing))
    result = run(nowhere, workload, tools, reference)
    assert (result.status, result.reasons) == ("not run", ("needs a part that nobody has",) * 2)
    assert exit_code([this_machine, result], allow_missing=False) == 1
    assert exit_code([this_machine, result], allow_missing=True) == 0
    table = markdown(facts([this_machine, result], "a CPU"))
    assert "| not run |" in table
    assert "- nowhere, not run: needs a part that nobody has" in table
    assert run(dataclasses.replace(nowhere, methods=(missing, as_it_is)), workload, tools, reference).status == "ok"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise SystemExit('no such runtime')", "exit code 1: no such runtime"),
        ("pass", "answers.json"),
    ],
)
def test_a_program_that_fails_or_writes_nothing_fails_the_row(
    workload: Workload, tools: Tools, reference: Path, this_machine: Result, program: str, reason: str
) -> None:
    device = Device("broken", "none", (lambda _tools: Command((sys.executable, "-c", program), "a program"),))
    result = run(device, workload, tools, reference)
    assert result.status == "failed"
    assert reason in result.reasons[0]


def test_answers_to_fewer_images_than_given_fail_the_row(
    workload: Workload, tools: Tools, reference: Path, this_machine: Result
) -> None:
    fewer = f"import runpy, sys; sys.argv[3] = '500'; runpy.run_path({PYTHON_PROGRAM!r}, run_name='__main__')"
    line = (sys.executable, "-c", fewer)
    device = Device("lazy", "none", (lambda _tools: Command(line, "a program"),))
    result = run(device, workload, tools, reference)
    assert result.status == "failed"
    assert "values, not" in result.reasons[0]


def test_every_device_of_the_issue_is_a_row_and_faults_are_planted_on_avx2_and_on_a_cortex_a53() -> None:
    rows = {device.name: device for device in DEVICES}
    assert {rows["x86-64 with AVX2"].fault, rows["Arm Cortex-A53"].fault} == {"full-range", "minus-128"}
    assert [name for name, row in rows.items() if row.promise is not Promise.BITS] == [
        "onnxruntime 1.8",
        "onnx.reference",
    ]
    assert {device.name for device in chosen(quick=True, only=())} < set(rows)
    assert [device.name for device in chosen(quick=False, only=("a53",))] == ["this machine", "Arm Cortex-A53"]
