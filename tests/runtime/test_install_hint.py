"""What a command prints where an extra is missing: a line that works for the way in which the package was installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def hint(folder: Path, direct_url: dict[str, object] | None) -> str:
    """Return the hint where the package was installed from `direct_url` (PEP 610), or from an index."""
    record = folder / "fmnist_edge-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: fmnist-edge\nVersion: 1.0\n")
    if direct_url is not None:
        (record / "direct_url.json").write_text(json.dumps(direct_url))
    program = "from fmnist_edge.errors import MissingExtraError; print(MissingExtraError('train', 'train', 'Keras'))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "runtime")])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    said, _, command = done.stdout.strip().partition(": ")
    assert said == "`fmnist-edge train` needs Keras, which is not installed"
    return command.partition("pip install ")[2]


def test_from_an_index_it_names_the_package(tmp_path: Path) -> None:
    assert hint(tmp_path, None) == "'fmnist-edge[train]'"


def test_from_a_checkout_it_names_the_checkout(tmp_path: Path) -> None:
    url = {"url": ROOT.as_uri(), "dir_info": {"editable": True}}
    assert hint(tmp_path, url) == f"-e '{ROOT}[train]'"


def test_from_a_wheel_it_names_the_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "fmnist edge.whl"
    wheel.touch()
    assert hint(tmp_path, {"url": wheel.as_uri(), "archive_info": {}}) == f"'{wheel}[train]'"


def test_from_a_repository_it_names_the_repository(tmp_path: Path) -> None:
    url = {"url": "https://example.org/r.git", "vcs_info": {"vcs": "git"}}
    assert hint(tmp_path, url) == "'fmnist-edge[train] @ git+https://example.org/r.git'"


@pytest.mark.stress
def test_a_machine_without_a_network_installs_from_what_pip_wheel_saved(tmp_path: Path) -> None:
    """As the README has it; saving the wheels needs an index."""
    wheels = str(tmp_path / "wheels")
    saving = [sys.executable, "-m", "pip", "wheel", "--quiet", str(ROOT), "-w", wheels, "-c", ROOT / "constraints.txt"]
    subprocess.run(saving, check=True, timeout=900)
    venv.create(tmp_path / "venv", with_pip=True)
    commands = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    installing = [commands / "python", "-m", "pip", "install", "--no-index", "--find-links", wheels, "fmnist-edge"]
    subprocess.run(installing, check=True, capture_output=True, timeout=900)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    sample = min((ROOT / "samples").glob("*.png"))
    done = subprocess.run(
        [commands / "fmnist-edge", "classify", sample], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, "T-shirt/top" in done.stdout) == (0, True)
