"""A row of the device matrix is run as a user's device would run it, and judged by what comes back."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from fmnist_bench.devices.devices import DEVICES, PROGRAM, Command, Device, NotAvailableError, native
from fmnist_bench.devices.matrix import (
    LIMITS,
    Tensors,
    Workload,
    chosen,
    compare,
    expected_answers,
    run_device,
    tables,
    write_workload,
)
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
THIS = DEVICES[0]


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return write_workload(tmp_path_factory.mktemp("workload"), 3000)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answers")


@pytest.fixture(scope="module")
def this_machine(workload: Workload, answers: Path) -> dict[str, Any]:
    return run_device(THIS, workload, answers)


def run(device: Device, workload: Workload, answers: Path) -> dict[str, Any]:
    return run_device(dataclasses.replace(device, name="another"), workload, answers)


def swapped(workload: Workload, folder: Path, name: str, by: str) -> Workload:
    """Return the same workload with another model file under a name: a device that computes something else."""
    shutil.copytree(workload.folder, folder)
    shutil.copy(folder / f"{by}.onnx", folder / f"{name}.onnx")
    return dataclasses.replace(workload, folder=folder)


def test_this_machine_gives_the_integers_of_plain_numpy_to_the_bit(this_machine: dict[str, Any]) -> None:
    assert (this_machine["status"], this_machine["reasons"]) == ("ok", [])
    images, pictures = this_machine["images"], this_machine["pictures"]
    assert (images["count"], images["hidden_quantized"], images["logits"], images["labels"]) == (3200, 0, 0, 0)
    assert pictures["count"] == 200


def test_a_device_with_other_integers_fails_and_says_how_many(
    this_machine: dict[str, Any], workload: Workload, answers: Path, tmp_path: Path
) -> None:
    row = run(THIS, swapped(workload, tmp_path / "other", "classifier", "full-range"), answers)
    assert row["status"] == "failed"
    assert any(reason.startswith("classifier: hidden_quantized of ") for reason in row["reasons"])


def test_a_planted_fault_must_be_seen(
    this_machine: dict[str, Any], workload: Workload, answers: Path, tmp_path: Path
) -> None:
    faulty = dataclasses.replace(THIS, fault="minus-128")
    row = run(faulty, workload, answers)
    assert (row["status"], row["reasons"]) == ("failed", ["the planted fault 'minus-128' was not caught"])
    wrong = swapped(workload, tmp_path / "wrong", "minus-128", "full-range")
    row = run(faulty, wrong, answers)
    assert row["status"] == "ok"
    assert "- another: the planted fault 'minus-128' changes " in tables([this_machine, row])


def test_a_row_on_the_wrong_cpu_fails(this_machine: dict[str, Any], workload: Workload, answers: Path) -> None:
    row = run(dataclasses.replace(THIS, features={"Z80": True}), workload, answers)
    assert row["reasons"] == ["Z80 is not as this device has it: other kernels ran"]


def missing() -> Command:
    raise NotAvailableError("needs a part that nobody has")


def test_a_device_that_is_not_there_is_not_run_unless_another_way_is_there(
    this_machine: dict[str, Any], workload: Workload, answers: Path
) -> None:
    row = run(Device("", "none", (missing, missing)), workload, answers)
    assert (row["status"], row["reasons"]) == ("not run", ["needs a part that nobody has"] * 2)
    assert "- another, not run: needs a part that nobody has" in tables([row])
    assert run(Device("", "none", (missing, native)), workload, answers)["status"] == "ok"


FEWER = f"import runpy, sys; sys.argv[3] = '500'; runpy.run_path({PROGRAM!r}, run_name='__main__')"


@pytest.mark.parametrize(
    ("program", "reason"),
    [("raise SystemExit('no such runtime')", "no such runtime"), ("pass", "answers.json"), (FEWER, "reshape")],
)
def test_a_program_that_fails_or_writes_less_than_all_fails_the_row(
    this_machine: dict[str, Any], workload: Workload, answers: Path, program: str, reason: str
) -> None:
    device = Device("", "none", (lambda: Command((sys.executable, "-c", program), "a program"),))
    row = run(device, workload, answers)
    assert row["status"] == "failed"
    assert reason in row["reasons"][0]


@pytest.fixture(scope="module")
def right(workload: Workload) -> Tensors:
    return expected_answers(workload.networks["classifier"], workload.images[:50])


def judged(folder: Path, right: Tensors, name: str = "", place: tuple[int, int] = (0, 0), value: Any = 0) -> list[str]:
    """Return what is broken where a device gives the right answers but for one value."""
    for output, values in right.items():
        changed = values.copy()
        if output == name:
            changed[place] = value
        changed.tofile(folder / f"classifier.{output}")
    return compare(folder, "classifier", right, LIMITS["integers"])[1]


def test_one_step_in_one_unit_the_last_bit_of_one_logit_and_a_probability_are_each_seen(
    right: Tensors, tmp_path: Path
) -> None:
    assert judged(tmp_path, right) == []
    step = right["hidden_quantized"][7, 5] ^ 1
    assert judged(tmp_path, right, "hidden_quantized", (7, 5), step) == [
        "classifier: hidden_quantized of 1 of 100 differ"
    ]
    bit = np.nextafter(right["logits"][3, 2], np.float32(9))
    assert judged(tmp_path, right, "logits", (3, 2), bit) == ["classifier: logits of 1 of 100 differ"]
    near, far = right["probabilities"][0, 0] + np.float32(5e-7), right["probabilities"][0, 0] + np.float32(3e-6)
    assert judged(tmp_path, right, "probabilities", (0, 0), near) == []
    assert len(judged(tmp_path, right, "probabilities", (0, 0), far)) == 1


def test_another_label_is_seen_and_what_is_no_number_is_not_taken_for_equal(right: Tensors, tmp_path: Path) -> None:
    other = (int(right["probabilities"][9].argmax()) + 1) % 10
    assert "classifier: labels of 1 of 100 differ" in judged(tmp_path, right, "probabilities", (9, other), 1)
    low = int(right["probabilities"][4].argmin())
    assert any("differs by nan" in line for line in judged(tmp_path, right, "probabilities", (4, low), np.nan))


def test_the_shipped_weights_saturate_no_16_bit_sum_and_each_fault_breaks_a_bound(workload: Workload) -> None:
    kernels = {name: tensors["hidden_kernel"].astype(int) for name, tensors in workload.networks.items()}
    images = workload.images[:100].reshape(100, -1, 1).astype(np.int32)

    def saturating(kernel: Any) -> Any:  # as AVX2 adds products: pairs of them in a saturating 16-bit integer
        products = images * kernel
        return np.clip(products[:, 0::2] + products[:, 1::2], -(2**15), 2**15 - 1).sum(axis=1)

    exact = {name: images[..., 0] @ kernel for name, kernel in kernels.items()}
    assert np.array_equal(saturating(kernels["classifier"]), exact["classifier"])
    assert not np.array_equal(saturating(kernels["full-range"]), exact["full-range"])
    assert kernels["classifier"].min() >= -127
    assert kernels["minus-128"].min() == -128


def test_without_saturation_full_range_weights_are_the_same_network(workload: Workload) -> None:
    labels = [
        expected_answers(workload.networks[name], workload.images[:500])["probabilities"].argmax(axis=1)
        for name in ("classifier", "full-range")
    ]
    assert np.mean(labels[0] == labels[1]) > 0.98


def test_faults_are_planted_on_avx2_and_on_a_cortex_a53_and_quick_is_a_part_of_all() -> None:
    rows = {device.name: device for device in DEVICES}
    assert {rows["x86-64 with AVX2"].fault, rows["Arm Cortex-A53"].fault} == {"full-range", "minus-128"}
    assert [name for name, row in rows.items() if row.floats] == ["onnxruntime 1.8"]
    assert {device.name for device in chosen(quick=True, only=())} < set(rows)
    assert [device.name for device in chosen(quick=False, only=("a53",))] == ["this machine", "Arm Cortex-A53"]
    with pytest.raises(click.UsageError, match="matches no device"):
        chosen(quick=False, only=("Z80",))


def test_the_page_has_the_table_of_the_shipped_classifier_and_no_row_of_it_failed() -> None:
    table = PAGE.read_text().split("<!-- devices: ")[1].split("<!-- end of devices -->")[0]
    digest = hashlib.sha256(EMBEDDED_CLASSIFIER.read_bytes()).hexdigest()
    assert digest[:12] in table, "run `make devices`: the page is of another file"
    assert all(f"| {device.name} (" in table for device in DEVICES)
    assert ", failed: " not in table
    assert table.count("the planted fault") >= 2
