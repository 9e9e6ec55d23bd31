"""The real dataset, and a local web server that misbehaves on request."""

from __future__ import annotations

import gzip
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fmnist_edge import dataset as dataset_places
from fmnist_edge.dataset import SIZES, read_verified


@pytest.fixture(scope="session")
def dataset() -> Path:
    """The folder of the real dataset on this machine."""
    return dataset_places.find_dataset()


@pytest.fixture(scope="session")
def compressed(dataset: Path) -> dict[str, bytes]:
    """The four files as .gz, quickly compressed."""
    return {stem: gzip.compress(read_verified(dataset, stem), 1) for stem in SIZES}


@pytest.fixture
def swept(tmp_path: Path) -> Iterator[None]:
    """For tests that copy the dataset, which is large: leave nothing behind."""
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with an empty home on a machine without the dataset; returns the home."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("FMNIST_DATA", "FMNIST_MIRRORS", "KERAS_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setattr(dataset_places, "DEBIAN_FOLDER", tmp_path / "no-debian")
    return home


class Mirror:
    """A web server on this machine: the first part of a URL's path says how it behaves."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.requests: list[str] = []
        self.released = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requests.append(self.path)
                behaviour, name = self.path.strip("/").split("/")
                mirror.answer(self, behaviour, files[name.removesuffix(".gz")])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{behaviour}/"

    def answer(self, handler: BaseHTTPRequestHandler, behaviour: str, content: bytes) -> None:
        if behaviour == "missing":
            handler.send_error(404)
            return
        if behaviour == "garbage":
            handler.wfile.write(b"this is not HTTP\r\n\r\n")
            return
        handler.send_response(200)
        if behaviour != "unsized":
            handler.send_header("Content-Length", str(len(self.body(behaviour, content))))
        handler.end_headers()
        if behaviour in ("truncated", "unsized", "stalls"):
            handler.wfile.write(content[: len(content) // 2])
        else:
            handler.wfile.write(self.body(behaviour, content))
        if behaviour == "stalls":
            handler.wfile.flush()
            self.released.wait(20)

    def body(self, behaviour: str, content: bytes) -> bytes:
        """Return what a server sends that believes all is well."""
        if behaviour == "wrong":
            return gzip.compress(bytes(len(gzip.decompress(content))))
        if behaviour == "page":
            return b"<html>Log in to this network first</html>"
        if behaviour == "huge":
            return bytes(len(content) + 2 * len(gzip.decompress(content)) + (1 << 17))
        return gzip.decompress(content) if behaviour == "unpacked" else content


@pytest.fixture
def mirror(compressed: dict[str, bytes]) -> Iterator[Mirror]:
    """A running mirror; `mirror.url("good")` is a base URL that works."""
    mirror = Mirror(compressed)
    thread = threading.Thread(target=mirror.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield mirror
    mirror.released.set()
    mirror.server.shutdown()
    mirror.server.server_close()
    thread.join()
