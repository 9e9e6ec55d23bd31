"""Kits as the installed command writes them, and the npm packages of the long tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
ROOT = Path(__file__).parents[3]
NODE_MODULES = ROOT / "build" / "npm" / "node_modules"


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command without npm on its path, so that the machine's own packages do not matter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("npm_")}
    environment["PATH"] = str(Path(sys.executable).parent)
    return subprocess.run(
        [SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )


@pytest.fixture(scope="session")
def npm() -> Path:
    """The folder of the npm packages that `make stress` installs."""
    assert NODE_MODULES.is_dir(), "run `make stress`, which installs the npm packages first"
    return NODE_MODULES


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder of the form of the npm package onnxruntime-web, small."""
    folder = tmp_path / "project" / "node_modules" / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": "1.30.0"}))
    for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm", "ort.all.mjs"):
        (folder / "dist" / name).write_text(f"content of {name}")
    return folder


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain kit, without the web page's runtime; not to be changed."""
    folder = tmp_path_factory.mktemp("deploy") / "kit"
    done = run("deploy", folder, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder
