"""A full disk and a read-only folder: one clear line, an exit code, the old file untouched, and no debris."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.full_disk import SCRIPT, can_mount, run_in
from tests.reliability.kills import KERAS, SAMPLES
from tests.runtime.conftest import Mirror

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not can_mount(), reason="mounts a small file system, as Linux lets root do"
)
Arguments = Callable[[Path], list[str]]
# By name: the arguments for a folder, and the file that was there before.
QUICK: dict[str, tuple[Arguments, str]] = {
    "classify --output": (
        lambda out: ["classify", *SAMPLES * 300, "--output", f"{out}/rows.txt", "--overwrite"],
        "rows.txt",
    ),
    "classify --explain": (
        lambda out: ["classify", *SAMPLES, "--explain", str(out), "--overwrite"],
        "9-ankle-boot.png",
    ),
    "plot": (lambda out: ["plot", "samples", "--overwrite", "-o", f"{out}/samples.png"], "samples.png"),
    "data fetch": (lambda out: ["data", "fetch", "--force", "--overwrite", "-o", str(out)], ""),
}
LONG: dict[str, tuple[Arguments, str]] = {
    "evaluate --output": (
        lambda out: ["evaluate", "--overwrite", "--format", "json", "--output", f"{out}/all.json"],
        "all.json",
    ),
    "evaluate --report": (lambda out: ["evaluate", "--overwrite", "--report", str(out)], "index.html"),
    "train": (lambda out: ["train", "--recipe", "tutorial", "--epochs", "1", "-o", str(out)], ""),
    "convert": (lambda out: ["convert", str(KERAS), "--overwrite", "-o", str(out)], "fmnist-mlp.int8.onnx"),
}
NO_ROOM, READ_ONLY = "No space left on device", "Read-only file system"


@pytest.fixture
def folder(tmp_path: Path, dataset: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder to mount on, for commands that find the dataset and a mirror of it."""
    monkeypatch.setenv("FMNIST_DATA", str(dataset))
    monkeypatch.setenv("FMNIST_MIRRORS", mirror.url("good"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def faults(folder: Path, arguments: Arguments, old: str, *, size: str) -> list[str]:
    """Return what is wrong with how a command ends without room (of `size`), or without permission."""
    ended = run_in(folder, arguments(folder), size=size, old=old)
    lines = [line for line in ended.told.splitlines() if not line.startswith(("fetching", "converting", "file "))]
    found = []
    if ended.code != 1:
        found.append(f"exit code {ended.code}")
    if not lines or not lines[-1].startswith("Error: ") or (READ_ONLY if not size else NO_ROOM) not in lines[-1]:
        found.append(f"says {lines}")
    if "Traceback" in ended.told:
        found.append("a traceback")
    before = {f"{old} old"} if old else set()
    if before - set(ended.files):
        found.append(f"the old file is gone: {ended.files}")
    if any(part.startswith(".") for line in ended.files for part in Path(line).parts):
        found.append(f"debris: {ended.files}")
    return found


@pytest.mark.parametrize("size", ["8k", ""], ids=["full", "read-only"])
@pytest.mark.parametrize("name", QUICK)
def test_no_room_is_one_line_and_leaves_the_old_file_alone(name: str, size: str, folder: Path) -> None:
    arguments, old = QUICK[name]
    assert faults(folder, arguments, old, size=size) == []


def test_rows_on_a_full_disk_end_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ended = run_in(tmp_path / "out", ["classify", *SAMPLES * 300], size="8k", stdout=str(tmp_path / "out" / "rows.txt"))
    assert ended.code == 1
    assert ended.told.count("\n") == 1
    assert NO_ROOM in ended.told


@pytest.mark.parametrize(
    "arguments", [["classify", SAMPLES[0]], ["info"], ["verify"], ["--version"], ["--help"], ["data", "path"]]
)
def test_whatever_is_printed_to_a_full_device_ends_with_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([SCRIPT, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"No space left on device" in done.stderr


@pytest.mark.stress
def test_no_command_leaves_debris_without_room(folder: Path) -> None:
    wrong = []
    for name, (arguments, old) in {**QUICK, **LONG}.items():
        for size in ("8k", ""):
            wrong += [f"{name}, {size or 'read-only'}: {fault}" for fault in faults(folder, arguments, old, size=size)]
    assert wrong == []


def test_the_file_system_is_really_full(tmp_path: Path) -> None:
    """The oracle of this file: without it, all of the above could pass on a disk with room."""
    (tmp_path / "out").mkdir()
    ended = run_in(tmp_path / "out", ["classify", SAMPLES[0]], size="8k", stdout=str(tmp_path / "out" / "rows.txt"))
    assert (ended.code, ended.files) == (0, [f"rows.txt {os.fspath(SAMPLES[0])[:4]}"])
    assert not (tmp_path / "out" / "rows.txt").exists()
