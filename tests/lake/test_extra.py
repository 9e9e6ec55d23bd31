"""Without the extra [ray], the command says what to install."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import pytest
from click.testing import CliRunner

from fmnist_edge.cli.main import cli


@pytest.mark.parametrize("module", ["ray", "pyarrow"])
def test_without_the_extra_it_says_what_to_install(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in {"ray", "pyarrow"} - {module}:
        monkeypatch.setitem(sys.modules, other, util)  # any module that has a __spec__
    monkeypatch.setitem(sys.modules, module, None)
    result = CliRunner().invoke(cli, ["classify-lake", "photos", "--out", str(tmp_path / "out")])
    assert result.exit_code == 3
    assert result.stderr.startswith(f"Error: `fmnist-edge classify-lake` needs {module}, which is not installed: ")
    assert "[ray]" in result.stderr
