"""A file that this user may not read: a row or one clear line, as an ordinary user meets it, for every option."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLE = str(min((Path(__file__).parents[2] / "samples").glob("*.png")))
_PR_CAPBSET_DROP, _OVERRIDES = 24, (1, 2)  # of Linux's prctl.h and capability.h: dac_override, dac_read_search
pytestmark = pytest.mark.skipif(
    os.name == "nt" or (os.geteuid() == 0 and sys.platform != "linux"), reason="has permissions as POSIX knows them"
)


def _without_privileges() -> None:
    """Let the program that is started next have no more rights than the owner of its files, though it runs as root."""
    if os.geteuid() == 0:
        for capability in _OVERRIDES:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command as an ordinary user."""
    command = [SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, cwd=cwd, timeout=60, preexec_fn=_without_privileges)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a picture `good.png`, and one `secret.png` that nobody may read."""
    for name, mode in (("good.png", 0o644), ("secret.png", 0)):
        shutil.copy(SAMPLE, tmp_path / name)
        (tmp_path / name).chmod(mode)
    return tmp_path


@pytest.mark.parametrize("arguments", [["good.png", "secret.png"], ["-r", "."]], ids=" ".join)
def test_an_unreadable_picture_is_a_row_like_any_other(arguments: list[str], folder: Path) -> None:
    done = run("classify", *arguments, "--format", "jsonl", cwd=folder)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["error"] and row["error"]["code"] for row in rows] == [None, "unreadable-file"]
    assert (done.returncode, rows[1]["error"]["message"]) == (1, "cannot read the file: Permission denied")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["classify", "good.png", "--model", "secret.png"], 3),
        (["classify", "--files-from", "secret.png"], 1),
        (["info", "secret.png"], 3),
    ],
)
def test_any_other_unreadable_file_is_one_line_that_says_why(arguments: list[str], code: int, folder: Path) -> None:
    done = run(*arguments, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (code, b"", 1)
    assert b"secret.png" in done.stderr
    assert b"Permission denied" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["classify", "closed/x.png", "good.png"], 1),
        (["classify", "-r", "closed/x", "."], 1),
        (["classify", "good.png", "--model", "closed/x.onnx"], 3),
        (["classify", "--files-from", "closed/x"], 1),
        (["classify", "good.png", "--output", "closed/x.csv"], 1),
        (["classify", "good.png", "--explain", "closed/x"], 1),
        (["classify", "--watch", "closed/x"], 2),
        (["info", "closed/x.onnx"], 3),
        (["verify", "closed/x.onnx"], 3),
        (["deploy", "closed/x"], 1),
        (["deploy", "kit", "--model", "closed/x.onnx"], 3),
        (["deploy", "--check", "closed/x"], 3),
        (["data", "status", "--data", "closed/x"], 3),
        (["convert", "closed/x.keras", "-o", "out"], 1),
    ],
)
def test_what_is_in_a_folder_that_may_not_be_searched_is_told_in_plain_words(
    arguments: list[str], code: int, folder: Path
) -> None:
    (folder / "closed").mkdir(mode=0)
    done = run(*arguments, cwd=folder)
    assert done.returncode == code
    assert b"closed/x" in done.stdout + done.stderr
    assert b"unexpected" not in done.stdout + done.stderr


def test_an_output_that_may_not_be_written_or_read_is_left_alone(folder: Path) -> None:
    done = run("classify", "good.png", "--output", "secret.png", cwd=folder)
    assert (done.returncode, b"not written by this tool" in done.stderr) == (2, True)
