"""What a setting, a storage or a disk can do to a run: one clear line, and nothing lost or half-written."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from fmnist_bench.lake import draw
from tests.lake.conftest import HERE, SCRIPT, Rows, assert_same, rows_of, run, start, wait_for
from tests.lake.s3_server import S3Server, free_port, s3_server

SAMPLES = str(HERE.parents[1] / "samples")
MODEL = str(HERE.parents[1] / "runtime" / "fmnist_edge" / "models" / "fmnist-mlp.int8.onnx")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((SAMPLES,), 2, "--out"),
        ((SAMPLES, "-o", "{tmp}/out", "--workers", "0"), 2, "--workers"),
        ((SAMPLES, "-o", "{tmp}/out", "--endpoint", "http://x:1"), 2, "--endpoint has no effect"),
        ((SAMPLES, "-o", f"{SAMPLES}/out"), 2, "results would be taken for images"),
        ((SAMPLES, "-o", SAMPLES), 2, "overlap"),
        (("{tmp}/a.parquet", "-o", "{tmp}/out"), 2, "name its column of images with --column"),
        (("ftp://a/b", "-o", "{tmp}/out"), 2, "cannot open ftp://a/b"),
        (("{tmp}/none", "-o", "{tmp}/out"), 3, "there is nothing at"),
        ((SAMPLES, "-o", "{tmp}/out", "--model", "{tmp}/none.onnx"), 3, "none.onnx"),
        ((SAMPLES, "-o", "/dev/null/out"), 1, "cannot write /dev/null/out"),
        ((SAMPLES, "-o", "{tmp}"), 2, "holds files of something else"),
    ],
)
def test_what_cannot_go_well_is_one_line(arguments: tuple[str, ...], code: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    found, said = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert found == code, said
    assert message in said.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_other_settings_do_not_go_on_with_a_run(images: Path, tmp_path: Path) -> None:
    folder, out = draw(tmp_path / "images", 3), tmp_path / "out"
    assert run(folder, "--out", out, "--workers", 1)[0] == 0
    before = sorted(path.name for path in out.rglob("*"))
    for arguments, what in (
        ((images,), "source: "),
        ((folder, "--model", MODEL), "model: "),
        ((folder, "--column", "x"), "column: None, now x"),
    ):
        code, said = run(*arguments, "--out", out)
        assert (code, len(said.splitlines())) == (2, 1)
        assert f"{out} holds results of another run ({what}" in said
    assert sorted(path.name for path in out.rglob("*")) == before


def test_a_full_disk_is_one_line_and_with_more_room_the_run_goes_on(images: Path, plain: Rows, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command = f"{SCRIPT} classify-lake {images} --out {out} --workers 1 --batch-size 20"
    program = (
        f"mount -t tmpfs -o size=88k none {out}; {command}; echo $?; ls -AR {out} {out}/_run/done; "
        f"mount -o remount,size=9m {out}; {command}; echo $?; cp -r {out} {tmp_path}/copy"
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", program], capture_output=True, text=True, check=False)
    full, *_, whole = (line for line in done.stdout.splitlines() if line.isdigit())
    assert (full, whole) == ("1", "1"), done.stderr
    error = next(line for line in done.stderr.splitlines() if line.startswith("Error"))
    assert error.startswith(f"Error: cannot write {out}")
    assert "No space left on device" in error
    assert "pending" not in done.stdout
    assert_same(rows_of(tmp_path / "copy"), plain)


def test_a_storage_that_is_lost_is_one_line_and_when_it_is_back_the_run_goes_on(
    images: Path, plain: Rows, tmp_path: Path
) -> None:
    port, out = free_port(), tmp_path / "out"
    arguments = ("s3://lake/images", "--out", out, "--endpoint", f"http://127.0.0.1:{port}", "--workers", 1)
    with s3_server(tmp_path / "log.txt", port) as server:
        server.upload(images, "lake/images")
        process = start(*arguments, "--batch-size", 5, **server.credentials)
        wait_for(lambda: list(out.glob("*.parquet")), process)
    with process:
        said = process.communicate()[1]
    assert (process.returncode, len(said.splitlines())) == (3, 1), said
    assert said.startswith("Error: cannot read s3://lake/images")
    assert said.endswith("; check the address, the credentials and the network\n")
    assert not any(row["error_code"] == "unreadable-file" for row in rows_of(out))
    with s3_server(tmp_path / "log.txt", port) as server:
        server.upload(images, "lake/images")
        assert run(*arguments, **server.credentials)[0] == 1
    assert_same(rows_of(out), plain, str(images), "s3://lake/images")


def test_results_in_a_storage_that_is_lost_are_complete_when_it_is_back(
    images: Path, plain: Rows, tmp_path: Path, server: S3Server
) -> None:
    """The server answers no more, but keeps what it has, as a network does that breaks."""
    filesystem = server.filesystem()
    filesystem.create_dir("broken")
    arguments = (images, "--out", "s3://broken/labels", "--endpoint", server.url, "--workers", 1, "--batch-size", 5)
    url = f"{server.url}/moto-api/reset-auth"

    def authenticate(after: str) -> None:
        urllib.request.urlopen(urllib.request.Request(url, after.encode(), {"Content-Type": "text/plain"})).close()

    with start(*arguments, **server.credentials) as process:
        wait_for(lambda: server.names("broken/labels/_run/done/0"), process)
        authenticate("0")  # credentials that expire
        try:
            said = process.communicate()[1]
        finally:
            authenticate("inf")
    assert (process.returncode, len(said.splitlines())) in ((1, 1), (3, 1)), said
    assert "s3://broken/labels" in said
    assert "Failed to apply" not in said  # what Ray adds for those who program it
    assert run(*arguments, **server.credentials)[0] == 1
    assert_same(rows_of("broken/labels", filesystem), plain)


def test_a_missing_bucket_and_wrong_credentials_are_one_line(images: Path, tmp_path: Path, server: S3Server) -> None:
    endpoint = ("--endpoint", server.url)
    code, said = run("s3://nowhere/images", "--out", tmp_path / "out", *endpoint, **server.credentials)
    assert (code, said) == (3, "Error: there is nothing at s3://nowhere/images: no such file, folder or bucket\n")
    code, said = run(images, "--out", "s3://nowhere/labels", *endpoint, **server.credentials)
    assert (code, len(said.splitlines())) == (1, 1)
    assert said.startswith("Error: cannot write s3://nowhere/labels/")


def test_a_cluster_that_is_not_there_is_one_line_at_once(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    code, said = run(draw(tmp_path / "images", 1), "--out", tmp_path / "out", RAY_ADDRESS=address)
    assert (code, len(said.splitlines())) == (3, 1)
    assert said.startswith(f"Error: no Ray cluster at {address}: ")
