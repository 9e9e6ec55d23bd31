"""Reading files: what is no readable regular file is an ImageError, at once, with a code for the cause."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fmnist_edge import ImageError, image_files
from fmnist_edge.image_files import read_file, read_stream, recognise
from fmnist_edge.images import load_image


def code_of(path: str | Path) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(path)
    return caught.value.code


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run the block as a user who may not read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # nobody
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


def test_a_missing_file_and_a_path_through_a_file_are_missing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert code_of(tmp_path / "none.png") == "missing-file"
    assert code_of(tmp_path / "file" / "below.png") == "missing-file"


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "file.png").touch()
    assert code_of(tmp_path / "file.png") == "empty-file"


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "unreadable-file"


def test_a_path_that_no_system_takes_is_unreadable() -> None:
    assert code_of("a\0b.png") == "unreadable-file"
    assert code_of("x" * 5000) == "unreadable-file"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.touch(mode=0)
    with unprivileged():
        assert code_of(secret) == "unreadable-file"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_pipes_devices_and_sockets_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", "/dev/zero", "/dev/null"):
            assert code_of(path) == "unreadable-file"


@pytest.mark.skipif(os.name == "nt", reason="Windows needs a privilege for symlinks")
def test_symlinks_that_lead_in_a_circle_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert code_of(tmp_path / "a") == "unreadable-file"


def test_files_and_streams_past_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "MAX_FILE_BYTES", 10)
    (tmp_path / "file").write_bytes(b"x" * 11)
    assert code_of(tmp_path / "file") == "too-large"
    with pytest.raises(ImageError) as caught:
        read_stream(io.BytesIO(b"x" * 11))
    assert caught.value.code == "too-large"
    assert read_stream(io.BytesIO(b"x" * 10)) == b"x" * 10


def test_a_sparse_file_of_a_terabyte_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ImageError, match="MiB"):
        read_file(tmp_path / "file")


FOREIGN = {
    "an SVG drawing; convert": b'<?xml version="1.0"?>\n<!-- a shirt -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a PDF document; convert": b"%PDF-1.7",
    "a video; save one frame": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
    "a camera's raw file; convert": b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
    "not an image: expected PNG": b'<?xml version="1.0"?><!DOCTYPE plist><plist version="1.0"/>',
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_people_take_for_a_picture_is_named_for_what_it_is(what: str) -> None:
    with pytest.raises(ImageError, match=what) as caught:
        recognise(FOREIGN[what])
    assert caught.value.code == "not-an-image"
