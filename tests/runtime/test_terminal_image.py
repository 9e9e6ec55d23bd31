"""Images in a terminal."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image

from fmnist_edge.cli.output import blocks, plain

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLE = Path(__file__).parents[2] / "samples" / "9-ankle-boot.png"


def test_a_half_block_is_two_pixels_from_black_to_white() -> None:
    assert blocks([[0, 255], [255, 0]]) == ("\x1b[38;5;16;48;5;231m\u2580\x1b[38;5;231;48;5;16m\u2580\x1b[0m\n")


def test_plain_characters_rise_with_the_mean_of_two_pixels() -> None:
    assert plain([[255, 128, 0, 0], [255, 128, 52, 0]]) == "@+.\n"


def show(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [SCRIPT, "classify", "--show", *arguments, str(SAMPLE)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**environment, "PYTHONUTF8": "1"})


def test_show_prints_fourteen_lines_of_the_image_above_the_label() -> None:
    *lines, answer = show(NO_COLOR="1").stdout.splitlines()
    assert lines == plain(np.asarray(PIL.Image.open(SAMPLE)).tolist()).splitlines()
    assert len(lines) == 14
    assert "Ankle boot" in answer
    assert "\x1b" not in answer


def test_show_has_colour_where_it_is_asked_for() -> None:
    assert len(re.findall("\u2580", show(FORCE_COLOR="1").stdout)) == 14 * 28


def test_show_is_refused_where_machines_read() -> None:
    assert show("--format", "csv").returncode == 2
