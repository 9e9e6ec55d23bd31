"""A cluster that somebody else started: named by its address, found where none is named, missed in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmnist_bench.lake.s3_server import free_port
from tests.lake.cluster.runs import (
    LakeRun,
    assert_same_rows,
    command_of,
    ended,
    environment,
    lake_rows,
    parent_of,
    plain_rows,
)


@pytest.fixture
def cluster() -> Iterator[tuple[str, str]]:
    """A cluster of two cores, started by hand; gives its address and its folder."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        address = f"127.0.0.1:{free_port()}"
        ray = str(Path(sys.executable).with_name("ray"))
        where = ["--port", address.rpartition(":")[2], "--temp-dir", folder]
        process = subprocess.Popen(
            [ray, "start", "--head", "--block", *where, "--num-cpus", "2", "--include-dashboard", "false"],
            env=environment(),
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout
        next(line for line in process.stdout if "--block" in line)
        yield address, folder
        os.killpg(process.pid, signal.SIGTERM)  # not `ray stop`, which ends all clusters of the machine
        process.stdout.read()
        process.wait()
        process.stdout.close()


def test_a_cluster_is_used_by_its_address_and_found_without(
    small_lake: Path, cluster: tuple[str, str], tmp_path: Path
) -> None:
    address, folder = cluster
    code, lines = ended(LakeRun(str(small_lake), "--out", str(tmp_path / "out"), "--address", address))
    assert (code, len(lines)) == (3, 2)
    assert lines[-1].startswith(f"Error: no Ray cluster at {address}: it wants its token: set RAY_AUTH_MODE=token")
    for number, arguments in enumerate([("--address", address), ()]):
        out = str(tmp_path / str(number))
        with LakeRun(str(small_lake), "--out", out, "--part-size", "50", *arguments, RAY_AUTH_MODE="token") as run:
            assert folder in command_of(parent_of(next(run.parts()).process))
            assert run.end() == 1, run.lines
        assert_same_rows(lake_rows(out), plain_rows(small_lake), ("", ""))


def test_an_address_that_does_not_answer_is_one_line_at_once(small_lake: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    address = f"127.0.0.1:{free_port()}"
    code, lines = ended(LakeRun(str(small_lake), "--out", str(tmp_path / "out"), "--address", address))
    assert code == 3
    assert lines[-1] == f"Error: no Ray cluster at {address}: Connection refused"
    assert len(lines) == 2
    assert time.monotonic() - begun < 30


def test_an_address_of_something_else_is_one_line(small_lake: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, lines = ended(LakeRun(str(small_lake), "--out", str(tmp_path / "out"), "--address", address))
    assert code == 3
    assert lines[1:] == [f"Error: no Ray cluster at {address}: timed out"]


# Put before the libraries of the cluster's processes, as on a machine that was set up otherwise.
OTHER_RELEASE = """
import fmnist_edge
fmnist_edge.__version__ = "0.0.1"
"""
NOT_INSTALLED = """
class Missing:
    def find_spec(self, name, *_):
        if name == "fmnist_edge":
            raise ModuleNotFoundError("No module named 'fmnist_edge'")
sys.meta_path.insert(0, Missing())
"""


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (OTHER_RELEASE, " has fmnist-edge 0.0.1, "),
        (NOT_INSTALLED, "(ModuleNotFoundError: No module named 'fmnist_edge')"),
    ],
    ids=["another release", "not installed"],
)
def test_a_machine_that_would_answer_otherwise_is_one_line(
    small_lake: Path, tmp_path: Path, setup: str, message: str
) -> None:
    lines = "".join(f"    {line}\n" for line in setup.strip().splitlines())
    of_workers = f"import sys\nif any('default_worker' in part for part in sys.orig_argv):\n{lines}"
    (tmp_path / "sitecustomize.py").write_text(of_workers)
    code, said = ended(LakeRun(str(small_lake), "--out", str(tmp_path / "out"), PYTHONPATH=str(tmp_path)))
    assert (code, len(said)) == (3, 2), said
    assert message in said[-1]
    assert said[-1].endswith("; install the same fmnist-edge, onnxruntime and Pillow on all machines of the cluster")
