"""Runs on a small lake: the same rows as `classify`, from any source, on any cluster, in one go or several."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from threading import Timer
from typing import TypeAlias

import pytest

from fmnist_bench.lake.s3_server import S3Server
from tests.lake.cluster.runs import LakeRun, assert_same_rows, ended, lake_rows, plain_rows
from tests.lake.tables import table

Rows: TypeAlias = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def plain(small_lake: Path) -> Rows:
    return plain_rows(small_lake)


def test_a_folder_gives_the_rows_of_classify(small_lake: Path, plain: Rows, tmp_path: Path) -> None:
    code, lines = ended(LakeRun(str(small_lake), "--out", str(tmp_path / "out"), "--part-size", "50"))
    assert code == 1, lines
    assert lines[-1] == f"400 classified, 5 failed: the results are in {tmp_path}/out."
    rows = lake_rows(str(tmp_path / "out"))
    assert_same_rows(rows, plain, ("", ""))
    assert {row["source"] for row in rows} == {str(small_lake)}


def test_a_run_that_was_killed_goes_on_where_it_was(small_lake: Path, plain: Rows, tmp_path: Path) -> None:
    arguments = (str(small_lake), "--out", str(tmp_path / "out"), "--part-size", "20")
    with LakeRun(*arguments) as run:
        for number, _ in enumerate(run.parts()):
            if number == 3:
                os.kill(run.process.pid, signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*.parquet")}
    assert 4 <= len(before) < 21
    code, lines = ended(LakeRun(*arguments))
    assert code == 1, lines
    found = re.fullmatch(r"405 images in 21 parts, (\d+) of which are done already.", lines[0])
    assert found, lines
    done = int(found[1])
    assert len(before) <= done < 21  # a worker may have finished a part before it noticed
    assert sum(line.startswith("part ") for line in lines) == 21 - done
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert_same_rows(lake_rows(str(tmp_path / "out")), plain, ("", ""))
    assert list((tmp_path / "out").glob(".*")) == []


def test_two_runs_at_once_do_not_share_a_cluster_that_ends_with_one(
    small_lake: Path, plain: Rows, tmp_path: Path
) -> None:
    with LakeRun(str(small_lake), "--out", str(tmp_path / "first"), "--part-size", "20") as first:
        assert next(first.parts(), None), first.lines
        first.process.send_signal(signal.SIGSTOP)  # its cluster is there to be found, and will end
        resume = Timer(15, first.process.send_signal, [signal.SIGCONT])
        resume.start()
        code, lines = ended(LakeRun(str(small_lake), "--out", str(tmp_path / "second"), "--part-size", "20"))
        resume.join()
        assert (code, first.end()) == (1, 1), [first.lines, lines]
    for name in ("first", "second"):
        assert_same_rows(lake_rows(str(tmp_path / name)), plain, ("", ""))


def test_ctrl_c_ends_it_at_once_and_leaves_whole_parts(small_lake: Path, tmp_path: Path) -> None:
    with LakeRun(str(small_lake), "--out", str(tmp_path / "out"), "--part-size", "20") as run:
        assert next(run.parts(), None), run.lines
        os.kill(run.process.pid, signal.SIGINT)
        code = run.end()
    assert (code, run.lines[-1]) == (1, "Aborted!")
    assert list((tmp_path / "out").glob(".*")) == []
    assert len(lake_rows(str(tmp_path / "out"))) % 20 == 0


def test_tables_of_paths_and_of_images_give_the_rows_of_their_files(
    small_lake: Path, plain: Rows, server: S3Server, tmp_path: Path
) -> None:
    names = sorted(path.relative_to(small_lake).as_posix() for path in small_lake.rglob("*") if path.is_file())
    table(tmp_path / "images.parquet", 30, name=names, image=[(small_lake / name).read_bytes() for name in names])
    code, lines = ended(LakeRun(str(tmp_path / "images.parquet"), "--column", "image", "-o", str(tmp_path / "bytes")))
    assert code == 1, lines
    found = [row | {"path": names[int(row["path"].rpartition("#")[2])]} for row in lake_rows(str(tmp_path / "bytes"))]
    assert_same_rows(found, plain, (f"{small_lake}/", ""))

    server.upload(small_lake, "tables/images")
    table(tmp_path / "paths" / "list.parquet", paths=[f"images/{name}" for name in names])
    server.upload(tmp_path / "paths", "tables")
    code, lines = ended(LakeRun(server.uri("tables/list.parquet"), "-o", str(tmp_path / "labels")))
    assert code == 1, lines
    assert_same_rows(lake_rows(str(tmp_path / "labels")), plain, (str(small_lake), "images"))
