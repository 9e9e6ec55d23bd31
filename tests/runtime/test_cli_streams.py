"""Standard streams that are closed, full, or left by their reader, for every command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipapp
from pathlib import Path

import pytest

from fmnist_edge.cli.main import COMMANDS

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
ROOT = Path(__file__).parents[2]
SAMPLE = str(min((ROOT / "samples").glob("*.png")))
pytestmark = pytest.mark.skipif(os.name == "nt", reason="closes streams as a POSIX shell does")
HELP = [[name, "--help"] for name in COMMANDS]
PRINTING = [["classify", SAMPLE], ["classify", "--watch", "."], ["info"], ["verify"], ["data", "status"], ["--version"]]


def run(arguments: list[str], redirection: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command with its streams redirected as the shell does, such as `>&-`."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, cwd=cwd, timeout=120)


@pytest.mark.parametrize("arguments", [*PRINTING, *HELP], ids=" ".join)
def test_a_closed_standard_output_is_one_line_and_exit_code_1(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(Path(SAMPLE).read_bytes())
    done = run(arguments, ">&-", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: cannot "), done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("arguments", [["plot", "samples", "-o", "a.png"], ["deploy", "kit"]], ids=" ".join)
def test_a_command_that_writes_files_needs_no_standard_output(arguments: list[str], tmp_path: Path) -> None:
    assert run([*arguments, "-q"], ">&-", tmp_path).returncode == 0
    assert (tmp_path / arguments[-1]).exists()


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_rows_in_a_file_need_no_stream_and_hold_nothing_else(redirection: str, tmp_path: Path) -> None:
    assert run(["classify", SAMPLE, "--output", "rows.txt"], redirection, tmp_path).returncode == 0
    rows = (tmp_path / "rows.txt").read_text()
    assert rows.startswith(f"{SAMPLE}: T-shirt/top (")
    assert rows.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["classify", SAMPLE], ["info"], ["verify"], ["data", "status"], *HELP], ids=" ".join
)
def test_a_closed_standard_error_changes_neither_output_nor_exit_code(arguments: list[str], tmp_path: Path) -> None:
    done, plain = run(arguments, "2>&-", tmp_path), run(arguments, "", tmp_path)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)


def test_an_error_is_told_by_the_exit_code_where_standard_error_is_closed_or_full(tmp_path: Path) -> None:
    for redirection in ("2>&-", "2>/dev/full"):
        done = run(["classify", SAMPLE, "missing.png"], redirection, tmp_path)
        assert (done.returncode, done.stdout.count(b"\n"), done.stderr) == (1, 2, b"")
        assert run(["classify", "--model", "missing.onnx", SAMPLE], redirection, tmp_path).returncode == 3


def test_a_closed_standard_input_is_an_error_row_or_an_error(tmp_path: Path) -> None:
    done = run(["classify", "-", SAMPLE], "<&-", tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, b"-: error: standard input is closed")
    listed = run(["classify", "--files-from", "-"], "<&-", tmp_path)
    assert (listed.returncode, listed.stderr) == (1, b"Error: cannot read the list: standard input is closed\n")


def test_the_command_line_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fmnist_edge", "classify", SAMPLE]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stdout) == (0, run(["classify", SAMPLE], "", tmp_path).stdout)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["clasify", SAMPLE], "Did you mean 'classify'?"),
        (["data", "fetchh"], "Did you mean 'fetch'?"),
        (["classify", "--recursiv", SAMPLE], "'--recursive'"),
        (["--top-k", "2", "classify", SAMPLE], "Options of a command follow its name"),
        (["help"], "fmnist-edge COMMAND --help"),
        ([SAMPLE], f"To classify it: fmnist-edge classify {SAMPLE}"),
    ],
)
def test_a_mistyped_command_or_option_gets_a_suggestion(arguments: list[str], hint: str, tmp_path: Path) -> None:
    done = run(arguments, "", tmp_path)
    assert (done.returncode, hint in done.stderr.decode()) == (2, True)


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime in one file, as zipapp and shiv build them."""
    folder = tmp_path_factory.mktemp("zip")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "runtime" / "fmnist_edge", folder / "app" / "fmnist_edge", ignore=ignored)
    zipapp.create_archive(folder / "app", folder / "app.pyz", main="fmnist_edge.__main__:run")
    return folder / "app.pyz"


def run_zip(zipped: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run it without the rooms of the checkout, which -S hides, on the libraries that are installed."""
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("platlib")}
    command = [sys.executable, "-S", str(zipped), *arguments]
    return subprocess.run(command, capture_output=True, cwd=zipped.parent, env=environment, timeout=120)


@pytest.mark.parametrize("command", ["classify", "info", "verify", "--version"])
def test_the_command_line_runs_from_inside_a_zip(command: str, zipped: Path, tmp_path: Path) -> None:
    photo = str(min((ROOT / "samples" / "photos").glob("*.jpg")))
    arguments = [command, SAMPLE, photo] if command == "classify" else [command]
    done, plain = run_zip(zipped, *arguments), run(arguments, "", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    named = done.stdout.replace(bytes(zipped), bytes(ROOT / "runtime"))
    assert (named == plain.stdout, bytes(zipped) in done.stdout) == (True, command == "info")


def test_a_copy_with_the_runtime_only_has_the_runtimes_commands(zipped: Path) -> None:
    done = run_zip(zipped, "--help")
    assert (done.returncode, b"classify" in done.stdout, b"train" in done.stdout) == (0, True, False)
    for arguments, hint in ((["train"], b"install the whole package"), (["deploy", "kit"], b"install it first")):
        refused = run_zip(zipped, *arguments)
        assert (refused.returncode, hint in refused.stderr) == (2, True)
