"""What a person sees who sits at a terminal: bars, notes, help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

from tests.terminal import drawn, lines_of

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.png"))


@pytest.fixture
def animation(tmp_path: Path) -> Path:
    frames = [PIL.Image.new("L", (40, 40), level) for level in (0, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    return tmp_path / "a.gif"


@pytest.mark.parametrize("columns", [30, 40, 80])
def test_a_bar_is_never_wider_than_the_terminal(columns: int) -> None:
    lines = lines_of(drawn(SCRIPT, "classify", *SAMPLES, columns=columns))
    assert any("100%" in line for line in lines)
    assert max(map(len, lines)) <= columns


def test_a_terminal_that_does_not_know_its_width_gets_a_bar_of_full_width() -> None:
    assert f"Classifying  [{36 * '#'}]" in drawn(SCRIPT, "classify", *SAMPLES, columns=0)


def test_a_note_takes_the_line_of_the_bar(animation: Path) -> None:
    assert "\r\x1b[Ka.gif: has several frames" in drawn(SCRIPT, "classify", *SAMPLES, animation, columns=80).replace(
        str(animation), "a.gif"
    )


def test_quiet_and_a_terminal_whose_cursor_cannot_move_draw_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "100%" in drawn(SCRIPT, "classify", *SAMPLES, columns=80)
    assert drawn(SCRIPT, "classify", "-q", *SAMPLES, columns=80) == ""
    monkeypatch.setenv("TERM", "dumb")
    assert drawn(SCRIPT, "classify", *SAMPLES, columns=80) == ""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "80"}
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize("command", [(), ("data",), ("plot",)], ids=" ".join)
def test_the_list_of_commands_says_what_each_does_in_a_whole_sentence(command: tuple[str, ...]) -> None:
    lines = run(*command, "--help").stdout.split("Commands:\n")[1].splitlines()
    assert len(lines) > 2
    assert [line for line in lines if not re.fullmatch(r"  [a-z-]+ +[A-Z].*[^.]\.", line)] == []


@pytest.mark.parametrize(
    ("name", "begin"),
    [("rows.csv", "path,label,"), ("rows.jsonl", '{"path": '), ("rows.json", "[\n"), ("rows.txt", str(SAMPLES[0]))],
)
def test_the_form_of_an_output_file_is_that_of_its_ending(tmp_path: Path, name: str, begin: str) -> None:
    assert run("classify", SAMPLES[0], "-o", tmp_path / name).returncode == 0
    assert (tmp_path / name).read_text().startswith(begin)
    assert run("classify", SAMPLES[0], "-o", tmp_path / name, "--format", "jsonl").returncode == 0
    assert (tmp_path / name).read_text().startswith('{"path": ')
