"""The operator list for small builds of onnxruntime, against onnxruntime's own tools."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from fmnist_edge.kit import operator_config
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, read_side_json

from .conftest import run

MODELS = (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL)


def operators(text: str) -> set[tuple[str, str]]:
    lines = [line.split(";") for line in text.splitlines() if line and not line.startswith("#")]
    return {(domain, name) for domain, _, names in lines for name in names.split(",")}


def test_it_names_the_operators_recorded_in_the_metadata(tmp_path: Path) -> None:
    assert run("deploy", tmp_path / "out", "--reduced-ops").returncode == 0
    text = (tmp_path / "out" / "required_operators.config").read_text()
    recorded = {("ai.onnx", name) for model in MODELS for name in read_side_json(model)["operators"]}
    assert recorded <= operators(text)
    assert "ai.onnx;13;" in text
    assert "  required_operators.config\n" in (tmp_path / "out" / "SHA256SUMS").read_text()


def test_it_names_all_that_onnxruntimes_own_converter_finds(tmp_path: Path) -> None:
    for model in MODELS:
        shutil.copy(model, tmp_path)
    tool = [sys.executable, "-m", "onnxruntime.tools.convert_onnx_models_to_ort", str(tmp_path)]
    subprocess.run([*tool, "--optimization_style", "Fixed"], check=True, capture_output=True)
    theirs = operators((tmp_path / "required_operators.config").read_text())
    assert len(theirs) > 20
    assert theirs <= operators(operator_config(MODELS).decode())


def test_onnxruntimes_build_script_reads_it(tmp_path: Path) -> None:
    from onnxruntime.tools.reduced_build_config_parser import parse_config

    path = tmp_path / "required_operators.config"
    path.write_bytes(operator_config(MODELS))
    required, _ = parse_config(str(path))
    assert set(required) == {"ai.onnx", "com.microsoft"}
    assert {"Resize", "Pad", "Softmax"} <= set(required["ai.onnx"][18])
