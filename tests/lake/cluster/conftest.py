"""A lake of images on disk and in a real S3 server, and the command that runs on a real local Ray."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyarrow import fs

from fmnist_bench.lake.images import draw_lake

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder need ray and a storage server."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lake)


@dataclass(frozen=True)
class Server:
    """An S3 server on this machine."""

    port: int

    @property
    def options(self) -> str:
        """What a URI of its buckets ends in."""
        return f"?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"

    def uri(self, place: str) -> str:
        """Return the URI of bucket/key, with credentials that it accepts."""
        return f"s3://key:secret@{place}{self.options}"

    def filesystem(self) -> fs.FileSystem:
        """Return its root as pyarrow sees it; files are sent in one request where they are small."""
        uri = f"{self.uri('any')}&allow_bucket_creation=true&allow_delayed_open=true"
        return fs.FileSystem.from_uri(uri)[0]

    def upload(self, folder: Path, place: str) -> None:
        """Copy all files of a folder to bucket/prefix."""
        filesystem = self.filesystem()
        filesystem.create_dir(place.partition("/")[0])
        files = [path for path in folder.rglob("*") if path.is_file()]

        def send(path: Path) -> None:
            with filesystem.open_output_stream(f"{place}/{path.relative_to(folder).as_posix()}") as stream:
                stream.write(path.read_bytes())

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, files))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """moto's S3 server, which checks no credentials unless it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "log.txt"
    with log.open("w") as output:
        command = [sys.executable, "-m", "moto.server", "-p", str(port)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, process)
        yield Server(port)
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, "the storage server did not start"
            time.sleep(0.1)
    raise AssertionError("the storage server does not answer")


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 images, every fourth a photo, and five files that are no images."""
    folder = tmp_path_factory.mktemp("lake") / "images"
    draw_lake(folder, 400, photos=0.25)
    spoil(folder)
    return folder


def spoil(folder: Path) -> None:
    """Add files that cannot be classified, among the others in the order of their names."""
    sample = next(folder.rglob("*.jpg")).read_bytes()
    bad = {"empty.png": b"", "text.png": b"no image", "cut.jpg": sample[: len(sample) // 2], "a page.html": b"<html>"}
    for name, content in bad.items():
        (folder / "000" / name).write_bytes(content)
    (folder / "notes.txt").write_text("notes")
