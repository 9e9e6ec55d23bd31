"""A folder of images on disk and in a real S3 server, and the command in processes of its own on a real local Ray."""

from __future__ import annotations

import csv
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import dataset, fs

from fmnist_bench.lake import draw
from tests.lake.s3_server import S3Server, s3_server

log = logging.getLogger(__name__)
HERE = Path(__file__).parent
SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
Rows = dict[str, dict[str, str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder need ray and a storage server, but for the one of a missing extra."""
    for item in items:
        if HERE in item.path.parents and item.path.name != "test_extra.py":
            item.add_marker(pytest.mark.lake)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 images, every sixth a photo, in two folders, among files that are no images or cannot be read."""
    folder = draw(tmp_path_factory.mktemp("lake") / "images", 100, 25)
    draw(folder / "below", 25)
    cut = next(folder.glob("*.jpg")).read_bytes()[:900]
    bad = {"empty.png": b"", "text.png": b"no image", "cut.jpg": cut, "notes.txt": b"notes", ".hidden.png": b"x"}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    (folder / "no ending").write_bytes((folder / "000007.png").read_bytes())
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that checks no credentials unless it is told to."""
    with s3_server(tmp_path_factory.mktemp("moto") / "log.txt") as server:
        yield server


@pytest.fixture(scope="session")
def plain(images: Path) -> Rows:
    """The rows that `classify -r` gives for the folder."""
    return plain_rows(images)


def plain_rows(folder: Path) -> Rows:
    command = [SCRIPT, "classify", "-q", "-r", "--format", "csv", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return {row["path"]: row for row in csv.DictReader(done.stdout.splitlines())}


def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    """Start `classify-lake`, as a user who waits for no cloud to offer credentials."""
    patience = {"RAY_raylet_start_wait_time_s": "240", "AWS_EC2_METADATA_DISABLED": "true"}
    environment = os.environ | patience | variables
    command = [SCRIPT, "classify-lake", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)


def run(*arguments: object, **variables: str) -> tuple[int, str]:
    """Run `classify-lake` to its end; return the exit code and what it said, which must be no traceback."""
    with start(*arguments, **variables) as process:
        said = process.communicate()[1]
    log.info(said)
    assert "Traceback" not in said
    return process.returncode, said


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """Return what the condition says as soon as that is true; fail if the process ends before."""
    while not (found := condition()):
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)
    return found


def rows_of(folder: object, filesystem: fs.FileSystem | None = None) -> list[dict[str, Any]]:
    """Return all rows of a run's results, as any reader of Parquet folders sees them."""
    found = dataset.dataset(str(folder), filesystem=filesystem, format="parquet", exclude_invalid_files=False)
    rows: list[dict[str, Any]] = found.to_table().to_pylist()
    return rows


def assert_same(found: list[dict[str, Any]], plain: Rows, here: str = "", there: str = "") -> None:
    """Assert that a lake's rows are those of `classify`, each once, but for the beginning of their paths."""
    assert sorted(row["path"] for row in found) == sorted(path.replace(here, there, 1) for path in plain)
    by_path = {row["path"]: row for row in found}
    for path, row in plain.items():
        other = by_path[path.replace(here, there, 1)]
        assert {name: "" if other[name] is None else str(other[name]) for name in row} == row | {"path": other["path"]}


def processes(marker: str, title: str) -> list[int]:
    """Return the processes that inherited an environment variable and whose title or command holds a text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (folder / "environ").read_bytes() and title in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except (OSError, UnicodeDecodeError):
            continue
    return found
