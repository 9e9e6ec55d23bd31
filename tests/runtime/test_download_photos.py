"""Fetching the photos: what is checked, and that nothing half-done remains."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fmnist_edge.errors import DataError
from fmnist_edge.photos import KINDS, fetch_photos, find_photos, is_photo_copy
from fmnist_edge.pictures import read_collection

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))


def archive(extra: dict[str, bytes] | None = None) -> bytes:
    content = io.BytesIO()
    members = {
        f"repo-master/{split}/{kind}/{number}.jpg": f"{split} {kind} {number}".encode()
        for split in ("train", "validation", "test")
        for kind in (*KINDS, "hat")
        for number in range(2)
    }
    with zipfile.ZipFile(content, "w") as file:
        for name, data in (members | (extra or {})).items():
            file.writestr(name, data)
    return content.getvalue()


def expected() -> dict[str, str]:
    sums = {}
    for split in ("train", "validation"):
        lines = [
            f"{split}/{kind}/{number}.jpg {hashlib.sha256(f'{split} {kind} {number}'.encode()).hexdigest()}\n"
            for kind in KINDS
            for number in range(2)
        ]
        sums[split] = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    return sums


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is http.server's
            content = files.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            return

    running = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", files
    running.shutdown()
    running.server_close()


def test_the_wanted_photos_are_unpacked_and_nothing_else(server: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    url, files = server
    files["/a.zip"] = archive({"repo-master/train/../../../evil.jpg": b"x", "repo-master/train/dress/a/b.jpg": b"x"})
    folder = fetch_photos(tmp_path / "photos", archive=f"{url}/a.zip", expected=expected())
    assert find_photos(folder) == folder
    assert len(read_collection(folder, "train")) == len(read_collection(folder, "validation")) == 14
    assert sorted(path.name for path in folder.iterdir()) == ["train", "validation"]
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert is_photo_copy(folder, expected())
    (folder / "train" / "dress" / "own.jpg").touch()
    assert not is_photo_copy(folder, expected())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive({"repo-master/train/dress/0.jpg": b"other"}), "not the photos expected: the 14 of train"),
        (archive()[:500], "damaged"),
        (b"<html>sign in</html>", "damaged"),
        (None, "404"),
    ],
)
def test_a_bad_archive_is_one_clear_error_and_leaves_nothing(
    content: bytes | None, message: str, server: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    url, files = server
    if content is not None:
        files["/a.zip"] = content
    old = tmp_path / "photos" / "train"
    old.mkdir(parents=True)
    with pytest.raises(DataError, match=message):
        fetch_photos(tmp_path / "photos", archive=f"{url}/a.zip", expected=expected())
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert old.is_dir()


def test_the_command_reports_a_fetch_that_fails_with_exit_code_3(
    server: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    environment = {**os.environ, "FMNIST_PHOTOS_ARCHIVE": f"{server[0]}/none.zip"}
    done = subprocess.run(
        [SCRIPT, "data", "fetch", "--photos", "-q", "-o", str(tmp_path / "photos")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: the photos could not be fetched")
    assert list(tmp_path.iterdir()) == []
