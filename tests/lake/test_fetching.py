"""Fetching ahead keeps the order and a bound; what one image ails stays with it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from fmnist_edge.errors import DataError, ImageError
from fmnist_edge.lake import fetching
from fmnist_edge.lake.fetching import FETCHERS, fetched
from fmnist_edge.lake.sources import Picture
from fmnist_edge.lake.storage import Place


@pytest.fixture
def root(tmp_path: Path) -> Place:
    for number in range(100):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    return Place(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "", "far://away")


def test_pictures_come_in_order_whatever_they_are(root: Place) -> None:
    error = ImageError("missing-file", "no path")
    kinds: list[Picture] = [root.child("0"), "local.png", b"bytes", error, root.child("none"), root.child("1")]
    found = [picture for _, picture in fetched((str(number), kinds[number % 6]) for number in range(60))]
    assert [str(picture) for picture in found] == [
        "b'0'",
        "local.png",
        "b'bytes'",
        "no path",
        "no such file",
        "b'1'",
    ] * 10


def test_no_more_is_begun_than_memory_should_hold(root: Place) -> None:
    taken = itertools.count()

    def endless() -> Iterator[tuple[str, Picture]]:
        while True:
            yield "", root.child(str(next(taken) % 100))

    assert [content for _, content in itertools.islice(fetched(endless()), 500)] == [
        b"%d" % (n % 100) for n in range(500)
    ]
    assert next(taken) <= 500 + 2 * FETCHERS


def test_local_files_are_not_read_ahead() -> None:
    pictures = iter([("a", "a.png"), ("b", "b.png")])
    assert next(fetched(pictures)) == ("a", "a.png")
    assert next(pictures) == ("b", "b.png")


def test_a_storage_that_does_not_answer_ends_it(root: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Place) -> bytes:
        raise DataError("cannot read")

    monkeypatch.setattr(fetching, "read_bytes", refuse)
    with pytest.raises(DataError, match="cannot read"):
        list(fetched(("", root.child(str(number))) for number in range(100)))
