"""A row for each image, once, equal to `classify`'s; from any source; a second run adds only what is new."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from fmnist_bench.lake import draw
from tests.lake.conftest import Rows, assert_same, plain_rows, processes, rows_of, run, start
from tests.lake.s3_server import S3Server


def test_a_folder_gives_the_rows_of_classify_and_a_second_run_adds_only_what_is_new(
    images: Path, plain: Rows, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(images, tmp_path / "images"))
    moved = (str(images), str(folder))
    for name in (b"\xff.png", "snow \u2603\n.png".encode()):
        Path(folder / os.fsdecode(name)).write_bytes((folder / "000001.png").read_bytes())
    (folder / "nowhere.png").symlink_to("nothing")
    code, said = run(folder, "--out", tmp_path / "out", "--workers", 2, "--batch-size", 20)
    assert code == 1
    expected = plain_rows(folder)
    assert said == f"{len(expected) - 4} classified, 4 failed: the results are in {tmp_path}/out.\n"
    assert len(expected) == len(plain) + 3
    assert_same(rows_of(tmp_path / "out"), expected)
    assert {path.replace(*moved) for path in plain} < set(expected)

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    draw(folder / "later", 7)
    code, _ = run(folder, "--out", tmp_path / "out", "--workers", 1)
    assert code == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list((tmp_path / "out").glob("*.parquet"))) == len(before) + 1
    assert_same(rows_of(tmp_path / "out"), plain_rows(folder))
    assert (tmp_path / "out" / "_SUCCESS").exists()
    assert not (tmp_path / "out" / "_run" / "listing").exists()


def test_s3_gives_the_rows_of_classify_and_takes_them(images: Path, plain: Rows, server: S3Server) -> None:
    server.upload(images, "lake/images")
    arguments = ("s3://lake/images", "--out", "s3://lake/labels", "--endpoint", server.url, "--workers", 2)
    for _ in range(2):
        code, said = run(*arguments, **server.credentials)
        assert (code, said) == (1, f"{len(plain) - 3} classified, 3 failed: the results are in s3://lake/labels.\n")
        assert_same(rows_of("lake/labels", server.filesystem()), plain, str(images), "s3://lake/images")


def test_images_in_a_parquet_column_give_the_rows_of_their_files(plain: Rows, tmp_path: Path) -> None:
    contents = [None if path.endswith("text.png") else Path(path).read_bytes() for path in plain]
    folder, here = tmp_path / "shards", str(tmp_path / "shards")
    folder.mkdir()
    names = []
    for number, part in enumerate(np.array_split(np.arange(len(contents)), 3)):
        table = pyarrow.table({"id": part, "image": [contents[at] for at in part]})
        parquet.write_table(table, folder / f"{number}.parquet", row_group_size=17)
        names += [f"{here}/{number}.parquet#{row}" for row in range(len(part))]
    code, _ = run(folder, "--column", "image", "--out", tmp_path / "out", "--workers", 2)
    assert code == 1
    found = {row["path"]: row for row in rows_of(tmp_path / "out")}
    assert sorted(found) == sorted(names)
    for name, (path, row) in zip(names, plain.items(), strict=True):
        answer = {key: "" if found[name][key] is None else str(found[name][key]) for key in row}
        if path.endswith("text.png"):
            assert answer["error_code"] == "missing-file"
        else:
            assert answer == row | {"path": name}


@pytest.mark.parametrize("source", ["6-shirt.png", "named"])
def test_one_image_is_one_row_whatever_it_is_called(source: str, tmp_path: Path) -> None:
    (tmp_path / source).write_bytes(draw(tmp_path / "x", 1).joinpath("000000.png").read_bytes())
    assert run(tmp_path / source, "--out", tmp_path / "out", "--workers", 1)[0] == 0
    assert [row["path"] for row in rows_of(tmp_path / "out")] == [str(tmp_path / source)]


def test_an_empty_folder_is_done_and_its_images_that_come_later_are_added(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert run(tmp_path / "images", "--out", tmp_path / "out")[0] == 0
    draw(tmp_path / "images", 2)
    assert run(tmp_path / "images", "--out", tmp_path / "out", "--workers", 1)[0] == 0
    assert len(rows_of(tmp_path / "out")) == 2


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    few, many = (peaks(tmp_path, count) for count in (1600, 6400))
    for who in ("fmnist-edge", "ray::"):
        grown = many[who] - few[who]
        assert grown < 120, (who, few, many)  # megabytes; the 4,800 files more have 240


def peaks(tmp_path: Path, count: int) -> dict[str, float]:
    """Return the highest memory of its own, in MB, of the command and of Ray's processes for files of 50 KB.

    They are no images, so that reading them is most of the work. All are in one row group, in pages of 1,024 as pyarrow
    writes them. What is in Ray's object store, which is of a fixed size, does not count.
    """
    table = pyarrow.table({"image": [os.urandom(50_000) for _ in range(count)]})
    parquet.write_table(table, tmp_path / f"{count}.parquet", use_dictionary=False, compression="none")
    arguments = (tmp_path / f"{count}.parquet", "--column", "image", "--out", tmp_path / f"out{count}", "--workers", 1)
    arguments += ("--batch-size", 400)
    with (
        watching(f"LAKE_TEST={tmp_path}{count}") as found,
        start(*arguments, LAKE_TEST=f"{tmp_path}{count}") as process,
    ):
        assert process.wait() == 1, process.communicate()
    assert len(rows_of(tmp_path / f"out{count}")) == count
    return found


@contextmanager
def watching(marker: str) -> Iterator[dict[str, Any]]:
    """Keep the highest memory that processes had."""
    found: dict[str, Any] = {"fmnist-edge": 0.0, "ray::": 0.0}
    end = Event()

    def look() -> None:
        while not end.wait(0.05):
            for who in found:
                for process in processes(marker, who):
                    try:
                        status = Path(f"/proc/{process}/status").read_text()
                        found[who] = max(found[who], float(status.partition("RssAnon:")[2].split()[0]) / 1000)
                    except (OSError, IndexError):
                        continue

    watcher = Thread(target=look)
    watcher.start()
    yield found
    end.set()
    watcher.join()
    assert all(found.values()), found
