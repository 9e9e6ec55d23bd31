"""The kit from an installed wheel (`make stress`: building one fetches its build tool)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

MAX_WHEEL_BYTES = 650_000

pytestmark = pytest.mark.stress


def test_an_installed_wheel_is_small_and_deploys_a_kit_that_passes_its_check(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < MAX_WHEEL_BYTES
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True)
    program = "import fmnist_edge, sys; print(fmnist_edge.__file__); from fmnist_edge.cli.main import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for arguments in (["deploy", "out", "--ort", "--reduced-ops"], ["deploy", "--check", "out"]):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(str(tmp_path / "site"))
    assert "the kit is whole" in done.stdout
