"""What a command writes: never its own input, and never a file of somebody's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.png"))[:2]
NOTES = b"dear diary\n"


def classify(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([SCRIPT, "classify", *arguments], capture_output=True, cwd=cwd, timeout=60)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder `pictures` with two, a hard link and a symlink to the first beside it, and somebody's notes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for sample in SAMPLES:
        shutil.copy(sample, folder)
    os.link(folder / SAMPLES[0].name, tmp_path / "hard.png")
    (tmp_path / "soft.png").symlink_to(folder / SAMPLES[0].name)
    (tmp_path / "list").write_text(f"pictures/{SAMPLES[0].name}\n")
    (tmp_path / "notes.txt").write_bytes(NOTES)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "arguments",
    [
        f"pictures/{SAMPLES[0].name} --output pictures/{SAMPLES[0].name}",
        f"pictures/{SAMPLES[0].name} --output pictures/../pictures/{SAMPLES[0].name} --overwrite",
        f"pictures/{SAMPLES[0].name} --output hard.png",
        f"pictures/{SAMPLES[0].name} --output soft.png --overwrite",
        "--files-from list --output list",
        "-r pictures --output pictures/rows.csv --format csv",
        "-r pictures --explain pictures",
        "-r pictures --explain pictures --overwrite",
        "-r pictures --explain pictures/below",
        f"pictures/{SAMPLES[0].name} --explain pictures --overwrite",
        "--files-from list --explain pictures",
        f"pictures/{SAMPLES[0].name} --output notes.txt",
        f"pictures/{SAMPLES[0].name} --explain .",
        "--watch pictures --explain pictures",
        "--watch pictures --state pictures/state",
    ],
)
def test_an_output_that_would_cost_the_user_something_is_refused_before_anything_is_written(
    arguments: str, pictures: Path
) -> None:
    before = content(pictures.parent)
    run = classify(*arguments.split(), cwd=pictures.parent)
    assert (run.returncode, run.stdout, run.stderr.count(b"\n")) == (2, b"", 1)
    assert content(pictures.parent) == before


@pytest.mark.skipif(os.name == "nt", reason="redirects as a POSIX shell does")
def test_rows_that_are_appended_to_a_file_in_the_watched_folder_are_refused(pictures: Path) -> None:
    command = f"exec '{SCRIPT}' classify --watch pictures >> pictures/rows.txt"
    run = subprocess.run(["sh", "-c", command], capture_output=True, cwd=pictures.parent, timeout=60)
    assert (run.returncode, (pictures / "rows.txt").read_bytes()) == (2, b"")
    assert b"outside it" in run.stderr


def test_overwrite_replaces_a_file_of_somebodys_own(pictures: Path) -> None:
    arguments = (f"pictures/{SAMPLES[0].name}", "--output", "notes.txt", "--overwrite")
    assert classify(*arguments, cwd=pictures.parent).returncode == 0
    assert (pictures.parent / "notes.txt").read_bytes() != NOTES


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "csv"])
def test_what_the_command_wrote_itself_is_replaced_without_asking(form: str, pictures: Path) -> None:
    arguments = ("-r", "pictures", "--format", form, "--output", "rows", "--explain", "seen")
    for _ in range(2):
        assert classify(*arguments, cwd=pictures.parent).returncode == 0
        assert classify("missing.png", "--format", form, "--output", "faults", cwd=pictures.parent).returncode == 1
    assert {path.name for path in (pictures.parent / "seen").iterdir()} == {
        f"{sample.stem}.explained.png" for sample in SAMPLES
    }


def test_a_list_that_names_a_picture_in_the_folder_of_explanations_does_not_cost_it(pictures: Path) -> None:
    before = content(pictures)
    run = classify("--files-from", "list", "--explain", "pictures", "--overwrite", cwd=pictures.parent)
    assert (run.returncode, content(pictures)) == (2, before)


def test_an_option_that_overwrites_nothing_is_refused(pictures: Path) -> None:
    assert classify("--overwrite", "soft.png", cwd=pictures.parent).returncode == 2
