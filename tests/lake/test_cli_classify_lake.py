"""`fmnist-edge classify-lake` as far as it goes without a cluster: usage, and what is wrong before one starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fmnist_edge.cli.main import cli
from fmnist_edge.lake.job import make_job
from fmnist_edge.lake.progress import prepare
from fmnist_edge.lake.results import write_part

SAMPLES = str(Path(__file__).parents[2] / "samples")


@pytest.fixture
def ray_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command go on to where it would start a cluster."""
    monkeypatch.setattr("fmnist_edge.cli.classify_lake.find_spec", lambda _: True)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["classify-lake", *arguments])


@pytest.mark.parametrize("module", ["ray", "pyarrow"])
def test_without_the_extra_it_says_what_to_install(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if module == "pyarrow":
        monkeypatch.setattr("fmnist_edge.cli.classify_lake.find_spec", lambda name: None if name == module else True)
    else:
        monkeypatch.setitem(sys.modules, module, None)
    result = run(SAMPLES, "--out", str(tmp_path / "out"))
    assert (result.exit_code, result.stderr) == (
        3,
        f"Error: `fmnist-edge classify-lake` needs {module}, which is not installed: pip install 'fmnist-edge[ray]'\n",
    )


@pytest.mark.usefixtures("ray_is_there")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((SAMPLES,), 2, "--out"),
        (("--out", "{tmp}/out"), 2, "SOURCE"),
        ((SAMPLES, "--out", "{tmp}/out", "--workers", "0"), 2, "--workers"),
        ((SAMPLES, "--out", "{tmp}/out", "--column", "x"), 2, "--column has no effect"),
        ((SAMPLES, "--out", "{tmp}/out", "--min-confidence", "nan"), 2, "--min-confidence"),
        ((SAMPLES, "--out", SAMPLES), 2, "results would be taken for images"),
        ((SAMPLES, SAMPLES, "--out", "{tmp}/out"), 2, "overlap"),
        (("ftp://a/b", "--out", "{tmp}/out"), 2, "cannot open ftp://a/b"),
        (("{tmp}/none", "--out", "{tmp}/out"), 3, "there is nothing at"),
        ((SAMPLES, "--out", "{tmp}/out", "--model", "{tmp}/none.onnx"), 3, "no model at"),
        ((SAMPLES, "--out", "/dev/null/out"), 1, "cannot write /dev/null/out/_plan/begun"),
    ],
)
def test_what_cannot_go_well_is_one_line_with_its_exit_code(
    arguments: tuple[str, ...], code: int, message: str, tmp_path: Path
) -> None:
    result = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == code, result.stderr
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("ray_is_there")
def test_what_is_done_needs_no_cluster(tmp_path: Path) -> None:
    job = make_job([f"{SAMPLES}/6-shirt.png"], str(tmp_path / "out"))
    prepare(job)
    write_part(job.destination, 0, [{"path": "6-shirt.png", "error_code": "too-large"}])
    result = run(f"{SAMPLES}/6-shirt.png", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert result.stderr == (
        f"1 image in 1 part, 1 of which is done already.\n0 classified, 1 failed: the results are in {tmp_path}/out.\n"
    )


@pytest.mark.usefixtures("ray_is_there")
def test_an_empty_folder_is_done_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run(str(tmp_path / "empty"), "-o", str(tmp_path / "out"))
    assert result.exit_code == 0
    assert "No files found." in result.stderr
