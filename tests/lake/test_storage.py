"""Places in storages: what is shown of them, what is read, and that a file appears whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pyarrow import fs

from fmnist_edge.errors import DataError, ImageError, OutputError, UsageError
from fmnist_edge.image_files import MAX_FILE_BYTES
from fmnist_edge.lake.storage import (
    Place,
    entries,
    kind_of,
    open_place,
    read_bytes,
    reason,
    without_credentials,
    write_whole,
)


def elsewhere(folder: Path) -> Place:
    """Return a folder as a filesystem that is not the local one, so that files appear by a rename of pyarrow's."""
    return Place(fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), "", "far://away")


def test_a_path_is_shown_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = open_place("./photos/")
    assert (place.path, place.shown, place.is_local) == (str(tmp_path / "photos"), "./photos/", True)
    assert place.child("a/b.png").shown == "./photos/a/b.png"
    assert place.child("a/b.png").path == str(tmp_path / "photos/a/b.png")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://key:secret@bucket/photos?region=eu-west-1&secret_key=x", "s3://bucket/photos"),
        ("s3://bucket/photos", "s3://bucket/photos"),
        ("abfs://container@account/photos", "abfs://container@account/photos"),
    ],
)
def test_credentials_and_options_of_a_uri_are_not_shown(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown


def test_a_uri_that_nobody_knows_is_wrong_usage_and_its_password_stays_secret() -> None:
    with pytest.raises(UsageError, match=r"cannot open ftp://host/photos: ") as caught:
        open_place("ftp://me:password@host/photos")
    assert "password" not in str(caught.value)


def test_an_s3_uri_opens_without_a_question_to_the_network() -> None:
    place = open_place("s3://key:secret@bucket/photos?endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1")
    assert (place.path, place.shown, place.is_local) == ("bucket/photos", "s3://bucket/photos", False)
    assert place.child("a b?.png").shown == "s3://bucket/photos/a b?.png"


def test_a_place_holds_itself_and_what_lies_in_it_alone() -> None:
    photos = open_place("photos")
    assert photos.holds(open_place("photos/"))
    assert photos.holds(open_place("photos/2024"))
    assert not photos.holds(open_place("photos-2024"))
    assert not open_place("photos/2024").holds(photos)


def test_what_is_at_a_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    root = elsewhere(tmp_path)
    assert [kind_of(place) for place in (root.child("file"), root, root.child("x"))] == ["file", "folder", "nothing"]
    assert entries(root) == [("file", "file")]
    assert entries(root.child("x")) == []


def test_a_file_is_read_or_tells_what_ails_it(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"pixels")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large.png").touch()
    os.truncate(tmp_path / "large.png", MAX_FILE_BYTES + 1)
    root = elsewhere(tmp_path)
    assert read_bytes(root.child("image.png")) == b"pixels"
    for name, code in (("none.png", "missing-file"), ("folder", "unreadable-file"), ("large.png", "too-large")):
        with pytest.raises(ImageError) as caught:
            read_bytes(root.child(name))
        assert caught.value.code == code


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    for root in (elsewhere(tmp_path / "far"), open_place(str(tmp_path / "near"))):
        Path(tmp_path / "far").mkdir(exist_ok=True)
        for content in (b"old", b"new"):
            write_whole(root.child("a/part.parquet"), content)
    for folder in ("far/a", "near/a"):
        assert {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} == {"part.parquet": b"new"}


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    for root in (elsewhere(tmp_path / "far"), open_place(str(tmp_path / "near"))):
        write_whole(root.child("part.parquet"), b"old")
        with pytest.raises((TypeError, AttributeError)):
            write_whole(root.child("part.parquet"), 5)  # type: ignore[arg-type]
    assert [(tmp_path / name / "part.parquet").read_bytes() for name in ("far", "near")] == [b"old", b"old"]


def test_what_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write far://away/file/part"):
        write_whole(elsewhere(tmp_path).child("file/part"), b"x")


@pytest.fixture
def closed_bucket() -> Iterator[Place]:
    """A folder in a bucket on a server that refuses all that is asked, as when credentials have expired."""

    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_POST = do_HEAD  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield open_place(
        f"s3://key:secret@bucket/photos?endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
    )
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_storage_that_refuses_all_is_no_matter_of_one_image(closed_bucket: Place) -> None:
    for ask in (kind_of, entries, lambda folder: read_bytes(folder.child("a.png"))):
        with pytest.raises(DataError, match=r"ACCESS_DENIED.*; check the credentials and what they allow") as caught:
            ask(closed_bucket)
        assert "secret" not in str(caught.value)
    with pytest.raises(OutputError, match=r"cannot write s3://bucket/photos/part: .*; check the credentials"):
        write_whole(closed_bucket.child("part"), b"x")


def test_a_reason_is_one_line_without_the_numbers_of_requests() -> None:
    text = "When listing:\n AWS Error NO_SUCH_BUCKET: not there (Request ID: QWERTY)"
    assert reason(OSError(text)) == (
        "When listing: AWS Error NO_SUCH_BUCKET: not there; check the name of the bucket and its region"
    )
