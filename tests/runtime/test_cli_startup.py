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
roots = sorted({{name.partition(".")[0] for name in sys.modules}})
print(json.dumps([code or 0, roots, sorted(name for name in sys.modules if name.startswith("PIL."))]), file=sys.stderr)
"""
HEAVY = {"numpy", "onnxruntime", "PIL", "tensorflow", "keras", "onnx", "tf2onnx", "matplotlib"}


def loaded(*arguments: str) -> tuple[set[str], set[str]]:
    """Run the command line in a fresh interpreter; return the roots of what it imported, and Pillow's modules."""
    program = PROGRAM.format(arguments=arguments)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    code, roots, pillow = json.loads(run.stderr.splitlines()[-1])
    assert code == 0, run.stderr
    return set(roots), set(pillow)


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
    assert not loaded(*arguments)[0] & HEAVY


def test_classifying_an_image_of_the_dataset_loads_of_pillow_the_c_part_alone() -> None:
    roots, pillow = loaded("classify", str(SAMPLE))
    assert roots & HEAVY == {"numpy", "onnxruntime", "PIL"}
    assert not roots & {"fmnist_train", "fmnist_convert", "fmnist_bench"}
    assert pillow == {"PIL._imaging", "PIL._version"}


def test_classifying_a_photo_loads_one_decoder() -> None:
    _, pillow = loaded("classify", str(PHOTO))
    assert {name for name in pillow if name.endswith("ImagePlugin")} == {"PIL.JpegImagePlugin"}


def test_the_script_prints_everything_and_keeps_the_exit_code(tmp_path: Path) -> None:
    script = str(Path(sys.executable).with_name("fmnist-edge"))
    for arguments, code in (([str(SAMPLE)], 0), (["missing.png"], 1), (["--nonsense"], 2)):
        done = subprocess.run([script, "classify", *arguments], capture_output=True, timeout=60)
        assert done.returncode == code
        assert done.stdout or done.stderr
    rows = subprocess.run([script, "classify", *[str(SAMPLE)] * 300], capture_output=True, timeout=60).stdout
    assert len(rows.splitlines()) == 300
