"""A lake of images on disk and in a real S3 server, and the command that runs on a real local Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fmnist_bench.lake.images import draw_lake
from fmnist_bench.lake.s3_server import S3Server, s3_server

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder need ray and a storage server."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lake)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that checks no credentials unless it is told to."""
    with s3_server(tmp_path_factory.mktemp("moto") / "log.txt") as server:
        yield server


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
