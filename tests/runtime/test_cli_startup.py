"""What a start loads: help and version answer at once, and classifying needs the four dependencies alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = next((Path(__file__).parents[2] / "samples").glob("*.png"))
PHOTO = next((Path(__file__).parents[2] / "samples" / "photos").glob("*.jpg"))
PROGRAM = """
import json, sys
from fmnist_edge.cli.main import main
sys.argv = ["fmnist-edge", *{arguments!r}]
try:
    main()
except SystemExit as end:
    code = end.code
print(json.dumps([code or 0, sorted(sys.modules)]), file=sys.stderr)
"""
HEAVY = {"numpy", "onnxruntime", "PIL", "tensorflow", "keras", "onnx", "tf2onnx", "matplotlib"}


MOST_MODULES = 14  # of ours, with the two package files


def loaded(*arguments: str) -> set[str]:
    """Run the command line in a fresh interpreter; return the modules that it imported."""
    program = PROGRAM.format(arguments=arguments)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    code, modules = json.loads(run.stderr.splitlines()[-1])
    assert code == 0, run.stderr
    return set(modules)


def of(package: str, modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith(f"{package}.")}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("classify", "--help"),
        ("evaluate", "--help"),
        ("plot", "samples", "--help"),
        ("deploy", "--help"),
    ],
    ids=" ".join,
)
def test_help_and_version_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not loaded(*arguments) & HEAVY


def test_classifying_an_image_of_the_dataset_loads_of_pillow_the_c_part_alone() -> None:
    modules = loaded("classify", str(SAMPLE))
    assert modules & HEAVY == {"numpy", "onnxruntime", "PIL"}
    assert not modules & {"fmnist_train", "fmnist_convert", "fmnist_bench"}
    assert of("PIL", modules) == {"PIL._imaging", "PIL._version"}
    assert len(of("fmnist_edge", modules)) < MOST_MODULES


def test_classifying_a_photo_loads_one_decoder_and_few_modules() -> None:
    modules = loaded("classify", str(PHOTO))
    assert {name for name in of("PIL", modules) if name.endswith("ImagePlugin")} == {"PIL.JpegImagePlugin"}
    assert len(of("fmnist_edge", modules)) < MOST_MODULES


def test_the_script_prints_everything_and_keeps_the_exit_code(tmp_path: Path) -> None:
    script = str(Path(sys.executable).with_name("fmnist-edge"))
    for arguments, code in (([str(SAMPLE)], 0), (["missing.png"], 1), (["--nonsense"], 2)):
        done = subprocess.run([script, "classify", *arguments], capture_output=True, timeout=60)
        assert done.returncode == code
        assert done.stdout or done.stderr
    rows = subprocess.run([script, "classify", *[str(SAMPLE)] * 300], capture_output=True, timeout=60).stdout
    assert len(rows.splitlines()) == 300
