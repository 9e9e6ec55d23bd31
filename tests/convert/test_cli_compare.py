"""`compare` through the installed entry point."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from fmnist_edge.model_info import EMBEDDED_CLASSIFIER

from .conftest import SHIPPED_KERAS


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([script, "compare", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_shipped_model_agrees_with_its_keras_original(script: str) -> None:
    done = run(script, SHIPPED_KERAS, EMBEDDED_CLASSIFIER, "--min-agreement", "0.998", "--format", "json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["images"] == 10_000
    assert figures["agreement"] >= 0.998
    assert figures["agreement"] == 1 - figures["different_labels"] / 10_000


def test_disagreement_past_the_limit_exits_with_1_and_prints_the_figures(
    script: str, conversion: Any, tmp_path: Path
) -> None:
    conversion.write(tmp_path)
    done = run(script, tmp_path / "fmnist-mlp.fp32.onnx", EMBEDDED_CLASSIFIER, "--min-agreement", "1")
    assert done.returncode == 1
    assert "different labels" in done.stdout
    assert done.stderr.startswith("Error: the models agree on 99.")


def test_a_file_of_another_kind_exits_with_3(script: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    done = run(script, SHIPPED_KERAS, tmp_path / "notes.txt")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
