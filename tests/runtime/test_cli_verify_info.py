"""`info`, `verify` and `--version` through the installed entry point."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, side_json_path, vectors_path

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Copy the embedded model with what stands beside it."""
    for path in (EMBEDDED_CLASSIFIER, side_json_path(EMBEDDED_CLASSIFIER), vectors_path(EMBEDDED_CLASSIFIER)):
        shutil.copy(path, tmp_path)
    return tmp_path / EMBEDDED_CLASSIFIER.name


def test_this_device_reproduces_the_measured_answers() -> None:
    done = run("verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("ok") == 8
    assert "20 images: 0 labels differ" in done.stdout
    assert "6 photos: 0 labels differ" in done.stdout


def test_info_describes_both_embedded_models_or_the_one_given(model: Path) -> None:
    both = json.loads(run("info", "--format", "json").stdout)
    assert [Path(described["file"]).name for described in both] == [EMBEDDED_CLASSIFIER.name, EMBEDDED_PHOTO_MODEL.name]
    text = run("info").stdout
    assert all(f"sha256: {described['sha256']}" in text for described in both)
    assert json.loads(run("info", model, "--format", "json").stdout)["sha256"] == both[0]["sha256"]


def test_verify_reports_its_figures_as_json(model: Path) -> None:
    [figures] = json.loads(run("verify", model, "--format", "json").stdout)
    assert (figures["passed"], figures["images"], figures["different_labels"]) == (True, 20, 0)
    assert figures["max_difference"] <= figures["tolerance"] == 1e-6


def test_a_wrong_expected_answer_fails_the_verification(model: Path) -> None:
    path = vectors_path(model)
    vectors = json.loads(path.read_text())
    vectors["images"][3]["probabilities"].reverse()
    path.write_text(json.dumps(vectors))
    done = run("verify", model)
    assert done.returncode == 1
    assert done.stdout.count("FAIL") == 2
    assert done.stderr.startswith("Error: this device or file does not reproduce")


def test_another_file_than_the_recorded_one_fails_the_verification(model: Path) -> None:
    model.write_bytes(model.read_bytes() + b"\x72\x00")  # an empty metadata entry: loads, computes the same
    done = run("verify", model)
    assert done.returncode == 1
    assert "FAIL fmnist-mlp.int8.onnx: SHA-256 not as recorded" in done.stdout


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": [], "model_sha256": "", "tolerance": 0}'])
def test_damaged_vectors_are_one_line_and_exit_code_3(model: Path, content: str) -> None:
    vectors_path(model).write_text(content)
    done = run("verify", model)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        (
            "mine.keras",
            b"PK\x03\x04" + bytes(60),
            "is a Keras file, not ONNX: convert it first with `fmnist-edge convert",
        ),
        ("none.onnx", None, "no model at"),
        ("alone.onnx", EMBEDDED_CLASSIFIER.read_bytes(), "`fmnist-edge convert` writes them beside"),
    ],
)
def test_verify_says_what_a_model_lacks(tmp_path: Path, name: str, content: bytes | None, advice: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run("verify", tmp_path / name)
    assert (done.returncode, done.stdout) == (3, "")
    assert advice in done.stderr


def test_info_states_contract_and_sum_of_the_file() -> None:
    described = json.loads(run("info", EMBEDDED_CLASSIFIER, "--format", "json").stdout)
    assert described["sha256"] == hashlib.sha256(EMBEDDED_CLASSIFIER.read_bytes()).hexdigest()
    assert described["bytes"] == EMBEDDED_CLASSIFIER.stat().st_size
    assert described["input"]["shape"] == ["batch", 28, 28]
    assert described["operators"]["Gemm"] == 2
    assert len(described["labels"]) == 10


def test_info_as_text_is_readable_without_colour_codes_in_a_pipe() -> None:
    text = run("info").stdout
    assert "Ankle boot" in text
    assert "\x1b" not in text


def test_version_names_package_model_sum_and_runtime() -> None:
    line = run("--version").stdout
    assert version("fmnist-edge") in line
    assert hashlib.sha256(EMBEDDED_CLASSIFIER.read_bytes()).hexdigest()[:12] in line
    assert f"onnxruntime {version('onnxruntime')}" in line


def test_a_model_that_is_none_exits_with_3_and_one_line(tmp_path: Path) -> None:
    done = run("info", tmp_path / "none.onnx")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1


def test_debug_shows_the_traceback_that_is_hidden_otherwise(tmp_path: Path) -> None:
    assert "Traceback" not in run("info", tmp_path / "none.onnx").stderr
    assert "Traceback" in run("info", "--debug", tmp_path / "none.onnx").stderr


def test_what_a_path_does_to_a_terminal_is_escaped_in_an_error(tmp_path: Path) -> None:
    done = run("info", f"{tmp_path}/\x1b[2J\u202e.onnx")
    assert done.returncode == 3
    assert r"\x1b[2J\u202e.onnx" in done.stderr
    assert "\x1b" not in done.stderr
