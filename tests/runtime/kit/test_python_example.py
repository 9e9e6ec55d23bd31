"""The kit's Python example, run as a user would: from anywhere, with onnxruntime and numpy alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from .conftest import ROOT, run

WITHOUT_PILLOW = (
    "import runpy, sys; sys.modules['PIL'] = None; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
)


def classify(kit: Path, *arguments: object, options: tuple[str, ...] = ("-I",)) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, *options, str(kit / "python" / "classify.py")]
    return subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=kit.parent)


def test_the_self_test_passes(kit: Path) -> None:
    done = classify(kit)
    assert (done.returncode, done.stderr, done.stdout.count("ok")) == (0, "", 3)


@pytest.mark.parametrize("name", ["images.u8", "photo-2.rgb", "drawings.u8"])
def test_the_self_test_fails_when_any_answer_differs(kit: Path, tmp_path: Path, name: str) -> None:
    mine = shutil.copytree(kit, tmp_path / "kit")
    pixels = np.fromfile(mine / "vectors" / name, np.uint8)
    np.roll(pixels, len(pixels) // 3).tofile(mine / "vectors" / name)
    done = classify(mine)
    assert (done.returncode, "FAIL" in done.stdout, done.stdout.count("\n")) == (1, True, 3)


def test_it_prints_what_the_command_prints_for_samples_of_both_kinds(kit: Path) -> None:
    samples = sorted([*(ROOT / "samples").glob("*.png"), *(ROOT / "samples" / "scenes").glob("*.jpg")])
    assert len(samples) == 20
    assert classify(kit, *samples).stdout == run("classify", *samples).stdout


def test_a_large_transparent_picture_on_its_side_is_prepared_as_the_command_does(kit: Path, tmp_path: Path) -> None:
    scene = PIL.Image.open(ROOT / "samples" / "scenes" / "1-trouser.jpg")
    large = scene.resize((scene.width * 7, scene.height * 7)).rotate(90, expand=True).convert("RGBA")
    large.putalpha(PIL.Image.new("L", large.size, 255))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    large.save(tmp_path / "large.png", exif=exif)
    theirs = run("classify", "large.png", cwd=tmp_path).stdout
    assert theirs.startswith("large.png: Trouser")
    assert classify(kit, tmp_path / "large.png").stdout.endswith(theirs)


def test_ppm_needs_no_pillow_and_all_else_says_so(kit: Path, tmp_path: Path) -> None:
    with PIL.Image.open(ROOT / "samples" / "scenes" / "8-bag.jpg") as scene:
        scene.save(tmp_path / "bag.ppm")
    without = ("-c", WITHOUT_PILLOW)
    done = classify(kit, tmp_path / "bag.ppm", options=without)
    assert (done.returncode, done.stdout) == (0, run("classify", tmp_path / "bag.ppm").stdout)
    done = classify(kit, ROOT / "samples" / "8-bag.png", options=without)
    assert (done.returncode, done.stdout) == (1, "")
    assert "python3 -m pip install pillow" in done.stderr
    assert classify(kit, options=without).returncode == 0


@pytest.mark.parametrize("content", [b"", b"no picture", b"P6 1 1 65535 xxxxxx", b"P6 90 90 255 x"])
def test_what_is_no_picture_is_a_line_and_the_others_go_on(kit: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    done = classify(kit, tmp_path / "bad", ROOT / "samples" / "1-trouser.png")
    assert (done.returncode, done.stdout.count("\n"), done.stderr.count("\n")) == (1, 1, 1)
    assert "bad: error: " in done.stderr
