"""A real S3 server on this machine: moto's, in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from pyarrow import fs

START_SECONDS: Final = 60


@dataclass(frozen=True)
class S3Server:
    """A server that listens; until it is told otherwise, it takes any credentials."""

    port: int
    credentials: ClassVar = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    """Environment variables."""

    @property
    def url(self) -> str:
        """Return what --endpoint takes."""
        return f"http://127.0.0.1:{self.port}"

    def filesystem(self) -> Any:
        """Return all of its buckets as pyarrow sees them; small files are sent in one request."""
        options = {"allow_bucket_creation": True, "allow_delayed_open": True, "region": "us-east-1"}
        return fs.S3FileSystem(access_key="key", secret_key="secret", endpoint_override=self.url, **options)

    def names(self, folder: str) -> list[str]:
        """Return what a folder holds."""
        infos = self.filesystem().get_file_info(fs.FileSelector(folder, allow_not_found=True))
        return [info.base_name for info in infos]

    def upload(self, folder: Path, place: str) -> None:
        """Copy all files of a folder to bucket/prefix; the bucket is made."""
        filesystem = self.filesystem()
        filesystem.create_dir(place.partition("/")[0])

        def send(path: Path) -> None:
            with filesystem.open_output_stream(f"{place}/{path.relative_to(folder).as_posix()}") as stream:
                stream.write(path.read_bytes())

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, (path for path in folder.rglob("*") if path.is_file())))


@contextmanager
def s3_server(log: Path, port: int | None = None) -> Iterator[S3Server]:
    """Run a server that writes what it does to a file."""
    port = port or free_port()
    with log.open("a") as output:
        command = [sys.executable, "-m", "moto.server", "-p", str(port)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, process)
        yield S3Server(port)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port of this machine that nobody uses just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the S3 server did not start: is moto[server] installed?")
