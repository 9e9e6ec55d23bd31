"""What a storage, a disk or an image can do to a run: one clear line, or one row, and nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmnist_bench.lake.s3_server import S3Server
from tests.lake.cluster.runs import SCRIPT, LakeRun, ended, environment, lake_rows, parent_of


def authenticate(server: S3Server, after: str) -> None:
    """Let the server check credentials after so many requests."""
    url = f"http://127.0.0.1:{server.port}/moto-api/reset-auth"
    urllib.request.urlopen(urllib.request.Request(url, after.encode(), {"Content-Type": "text/plain"})).close()


@pytest.fixture
def strict(server: S3Server, small_lake: Path) -> Iterator[S3Server]:
    """The server with the small lake in it, for which our credentials are wrong from the third request on."""
    server.upload(small_lake, "guarded/images")
    authenticate(server, "0")
    yield server
    authenticate(server, "inf")


def test_wrong_credentials_are_one_line(strict: S3Server, small_lake: Path, tmp_path: Path) -> None:
    code, lines = ended(LakeRun(strict.uri("guarded/images"), "--out", str(tmp_path / "out")))
    assert (code, len(lines)) == (3, 1)
    assert lines[0].startswith("Error: cannot read s3://guarded/images: ")
    assert lines[0].endswith("; check the credentials and what they allow")
    code, lines = ended(LakeRun(str(small_lake), "--out", strict.uri("guarded/labels")))
    assert (code, len(lines)) == (3, 1)
    assert lines[0].startswith("Error: cannot read s3://guarded/labels: ")
    assert "secret" not in lines[0]


def test_credentials_that_expire_stop_the_run_which_goes_on_with_new_ones(
    server: S3Server, small_lake: Path, tmp_path: Path
) -> None:
    server.upload(small_lake, "guarded/images")
    arguments = (server.uri("guarded/images"), "--out", str(tmp_path / "out"), "--part-size", "20")
    try:
        with LakeRun(*arguments) as run:
            assert next(run.parts(), None), run.lines
            authenticate(server, "0")
            code = run.end()
    finally:
        authenticate(server, "inf")
    assert code == 3, run.lines
    assert run.lines[-1].endswith("; check the credentials and what they allow")
    assert not any(row["error_code"] == "unreadable-file" for row in lake_rows(str(tmp_path / "out")))
    code, lines = ended(LakeRun(*arguments))
    assert code == 1, lines
    assert len(lake_rows(str(tmp_path / "out"))) == 405


def test_a_bucket_that_is_not_there_is_one_line(server: S3Server, small_lake: Path, tmp_path: Path) -> None:
    code, lines = ended(LakeRun(server.uri("nowhere/images"), "--out", str(tmp_path / "out")))
    assert (code, lines) == (3, ["Error: there is nothing at s3://nowhere/images: no such file, folder or bucket"])
    code, lines = ended(LakeRun(str(small_lake), "--out", server.uri("nowhere/labels")))
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("Error: cannot write s3://nowhere/labels/")
    assert "NO_SUCH_BUCKET" in lines[0]


def test_a_cluster_that_goes_away_is_one_line_and_the_run_can_go_on(small_lake: Path, tmp_path: Path) -> None:
    arguments = (str(small_lake), "--out", str(tmp_path / "out"), "--part-size", "5")
    with LakeRun(*arguments) as run:
        done = next(run.parts(), None)
        assert done, run.lines
        os.kill(parent_of(done.process), signal.SIGKILL)  # the daemon without which no worker lives
        assert run.end() == 3, run.lines
    assert run.lines[-1] == "Error: the Ray cluster went away; what is done is kept, run it again to go on"
    assert not run.lines[-2].startswith("Error")
    code, lines = ended(LakeRun(*arguments))
    assert code == 1, lines
    assert len(lake_rows(str(tmp_path / "out"))) == 405


def test_a_full_disk_is_one_line_and_leaves_whole_parts(small_lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    arguments = f"{SCRIPT} classify-lake {small_lake} --out {out} --workers 2 --part-size 20"
    program = f"mount -t tmpfs -o size=64k none {out}; {arguments}; code=$?; ls -A {out}; exit $code"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", program], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 1, done.stderr
    error = done.stderr.splitlines()[-1]
    assert error.startswith(f"Error: cannot write {out}/part-0")
    assert error.endswith(": No space left on device; name another place")
    assert [name for name in done.stdout.split() if not name.startswith("part-")] == ["_plan"]


# Put before the libraries of every process: a decoder that crashes on one kind of picture.
DEADLY_DECODER = """
import os, signal
from fmnist_edge import classifier
def read_plain_png(data, known=classifier.read_plain_png):
    if data.endswith(b"deadly"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return known(data)
classifier.read_plain_png = read_plain_png
"""


def test_an_image_that_ends_its_process_is_one_row(small_lake: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    samples = sorted(small_lake.rglob("*.png"))[:30]
    for number, sample in enumerate(samples):
        content = sample.read_bytes()
        (folder / sample.name).write_bytes(content + b"deadly" if number in (7, 22) else content)
    (tmp_path / "sitecustomize.py").write_text(DEADLY_DECODER)
    arguments = (str(folder), "--out", str(tmp_path / "out"), "--part-size", "10")
    code, lines = ended(LakeRun(*arguments, PYTHONPATH=str(tmp_path)))
    assert code == 1, lines
    rows = {row["path"]: row["error_code"] for row in lake_rows(str(tmp_path / "out"))}
    assert len(rows) == 30
    assert [path for path, code in rows.items() if code] == [str(folder / samples[n].name) for n in (7, 22)]
    assert set(rows.values()) == {None, "crashed"}
