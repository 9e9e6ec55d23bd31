"""The kit's Python example, run as a user would: from anywhere, with onnxruntime and numpy alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from .conftest import ROOT, run

SAMPLES = sorted([*(ROOT / "samples").rglob("*.png"), *(ROOT / "samples").rglob("*.jpg")])
PHOTO = next(path for path in SAMPLES if path.suffix == ".jpg")
WITHOUT_PILLOW = (
    "import runpy, sys; sys.modules['PIL'] = None; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
)


def classify(kit: Path, *arguments: object, options: tuple[str, ...] = ("-I",)) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, *options, str(kit / "python" / "classify.py")]
    return subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=kit.parent)


def test_the_self_test_passes(kit: Path) -> None:
    done = classify(kit)
    assert (done.returncode, done.stderr, done.stdout.count("ok")) == (0, "", 2)


@pytest.mark.parametrize("name", ["images.u8", "photo-2.rgb"])
def test_the_self_test_fails_when_any_answer_differs(kit: Path, tmp_path: Path, name: str) -> None:
    mine = shutil.copytree(kit, tmp_path / "kit")
    pixels = np.fromfile(mine / "vectors" / name, np.uint8)
    np.roll(pixels, len(pixels) // 3).tofile(mine / "vectors" / name)
    done = classify(mine)
    assert (done.returncode, "FAIL" in done.stdout, done.stdout.count("\n")) == (1, True, 2)


def test_it_prints_what_the_command_prints_for_samples_of_both_kinds(kit: Path) -> None:
    assert len(SAMPLES) >= 20
    assert classify(kit, *SAMPLES).stdout == run("classify", *SAMPLES).stdout


def test_dataset_pictures_in_any_form_get_the_answer_of_the_command(kit: Path, tmp_path: Path) -> None:
    with PIL.Image.open(ROOT / "samples" / "9-ankle-boot.png") as image:
        forms = {"light": PIL.ImageOps.invert(image), "rgb": image.convert("RGB")}
        forms["cut"] = PIL.Image.merge("LA", [image, image.point(lambda level: 255 * (level > 0))])
        forms["deep"] = PIL.Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        for name, form in forms.items():
            form.save(tmp_path / f"{name}.png")
    paths = sorted(tmp_path.glob("*.png"))
    assert classify(kit, *paths).stdout.count("Ankle boot") == 4
    assert classify(kit, *paths).stdout == run("classify", *paths).stdout


def test_a_large_transparent_picture_on_its_side_is_prepared_as_the_command_does(kit: Path, tmp_path: Path) -> None:
    with PIL.Image.open(PHOTO) as photo:
        large = photo.resize((photo.width * 4, photo.height * 4)).rotate(90, expand=True).convert("RGBA")
    large.putalpha(PIL.Image.new("L", large.size, 255))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    large.save(tmp_path / "large.png", exif=exif)
    theirs, mine = run("classify", tmp_path / "large.png").stdout, classify(kit, tmp_path / "large.png").stdout
    assert theirs.startswith(f"{tmp_path / 'large.png'}: ")
    assert mine.split(" (")[0] == theirs.split(" (")[0]


def test_the_map_is_drawn_in_letters_in_the_shape_of_the_picture(kit: Path) -> None:
    first, *rows = classify(kit, "--map", PHOTO).stdout.splitlines()
    assert first == run("classify", PHOTO).stdout.strip()
    assert {len(row) for row in rows} == {4 + 32}
    assert set("".join(rows)) <= set(" .:-=+*#%@")
    with PIL.Image.open(PHOTO) as photo:
        assert abs(len(rows) - 16 * photo.height / photo.width) <= 1


def test_the_line_of_onnxruntime_on_devices_without_a_gpu_is_dropped_and_no_other(kit: Path, tmp_path: Path) -> None:
    """As onnxruntime 1.23 and 1.24 print it at import on a Raspberry Pi."""
    line = "[W:onnxruntime:Default, device_discovery.cc:164] GPU device discovery failed: cannot read vendor"
    real = "import sys; sys.path.pop(0); del sys.modules['onnxruntime']; from onnxruntime import *"
    (tmp_path / "onnxruntime.py").write_text(f"import os\nos.write(2, b'{line}\\nanother line\\n')\n{real}\n")
    path = str(kit / "python" / "classify.py")
    program = f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({path!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "another line\n")


def test_ppm_needs_no_pillow_and_all_else_says_so(kit: Path, tmp_path: Path) -> None:
    with PIL.Image.open(PHOTO) as photo:
        photo.convert("RGB").save(tmp_path / "bag.ppm")
    without = ("-c", WITHOUT_PILLOW)
    done = classify(kit, tmp_path / "bag.ppm", options=without)
    with_pillow = run("classify", tmp_path / "bag.ppm").stdout
    assert done.returncode == 0
    # Another averaging filter: the same label, and nearly the same confidence.
    answers = [re.fullmatch(r".*bag\.ppm: (.+) \((\d+\.\d) %\)\n", text) for text in (done.stdout, with_pillow)]
    labels, confidences = zip(*(answer.groups() for answer in answers if answer), strict=True)
    assert labels[0] == labels[1]
    assert float(confidences[0]) == pytest.approx(float(confidences[1]), abs=2)
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
