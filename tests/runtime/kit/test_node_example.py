"""The kit's Node example, run as a user would: `npm install`, then `node classify.js` (`make stress`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from .conftest import ROOT, run

pytestmark = pytest.mark.stress


@pytest.fixture(scope="module")
def installed(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit in whose node/ folder `npm install` was run."""
    mine = shutil.copytree(kit, tmp_path_factory.mktemp("node") / "kit")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=mine / "node", check=True)
    return mine


def node(kit: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = ["node", str(kit / "node" / "classify.js"), *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False, cwd=kit.parent)


def test_the_self_test_passes(installed: Path) -> None:
    done = node(installed)
    assert (done.returncode, done.stderr, done.stdout.count("ok")) == (0, "", 3)


@pytest.mark.parametrize("name", ["images.u8", "photo-2.rgb", "drawings.u8"])
def test_the_self_test_fails_when_any_answer_differs(installed: Path, name: str) -> None:
    path = installed / "vectors" / name
    good = np.fromfile(path, np.uint8)
    np.roll(good, len(good) // 3).tofile(path)
    try:
        done = node(installed)
    finally:
        good.tofile(path)
    assert (done.returncode, "FAIL" in done.stdout, done.stdout.count("\n")) == (1, True, 3)


def test_it_prints_what_the_command_prints_for_samples_of_both_kinds(installed: Path) -> None:
    samples = sorted([*(ROOT / "samples").glob("*.png"), *(ROOT / "samples" / "scenes").glob("*.jpg")])
    assert len(samples) == 20
    assert node(installed, *samples).stdout == run("classify", *samples).stdout


def test_a_large_photo_on_its_side_gets_the_same_label(installed: Path, tmp_path: Path) -> None:
    with PIL.Image.open(ROOT / "samples" / "scenes" / "1-trouser.jpg") as scene:
        large = scene.resize((scene.width * 8, scene.height * 8)).rotate(90, expand=True)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    large.save(tmp_path / "large.jpg", exif=exif)
    theirs, mine = run("classify", tmp_path / "large.jpg").stdout, node(installed, tmp_path / "large.jpg").stdout
    assert "Trouser" in theirs
    assert mine.split(" (")[0] == theirs.split(" (")[0]


def test_what_is_no_picture_is_a_line_and_the_others_go_on(installed: Path) -> None:
    done = node(installed, "missing.jpg", ROOT / "samples" / "1-trouser.png")
    assert (done.returncode, done.stdout.count("\n"), done.stderr.count("\n")) == (1, 1, 1)
    assert done.stderr.startswith("missing.jpg: error: ")
