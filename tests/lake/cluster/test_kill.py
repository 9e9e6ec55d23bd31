"""Twenty thousand images in S3, a worker killed with -9 on the way: nothing is lost, nothing comes twice."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest
from pyarrow import fs

from fmnist_bench.lake.images import draw_lake
from fmnist_bench.lake.s3_server import S3Server
from tests.lake.cluster.conftest import spoil
from tests.lake.cluster.runs import LakeRun, PartLine, assert_same_rows, lake_rows, plain_rows

log = logging.getLogger(__name__)
KILL_AFTER = 4  # parts of twenty
IMAGES = int(os.environ.get("FMNIST_LAKE_IMAGES", "20000"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large") / "images"
    draw_lake(folder, IMAGES, photos=0.25)
    spoil(folder)
    return folder


def test_a_killed_worker_loses_nothing_and_repeats_nothing(lake: Path, server: S3Server) -> None:
    server.upload(lake, "lake/images")
    done: list[PartLine] = []
    with LakeRun(
        server.uri("lake/images"), "--out", server.uri("lake/labels"), "--part-size", str(IMAGES // 20)
    ) as run:
        for line in run.parts():
            done.append(line)
            if len(done) == KILL_AFTER:
                os.kill(line.process, signal.SIGKILL)
                log.info("killed process %d, which had just done part %d", line.process, line.part)
        assert run.end() == 1, run.lines  # some of the files are no images
    log.info("\n".join(run.lines))
    assert sorted(line.part for line in done) == list(range(len(done)))
    assert len({line.process for line in done}) == 3  # two workers, and the one in the place of the killed
    after = [line.process for line in done[KILL_AFTER:]]
    assert after.count(done[KILL_AFTER - 1].process) <= 1  # a part it had finished before, at most
    assert_same_rows(lake_rows("lake/labels", server.filesystem()), plain_rows(lake), (str(lake), "s3://lake/images"))
    names = [Path(info.path).name for info in server.filesystem().get_file_info(fs.FileSelector("lake/labels"))]
    assert sorted(names) == ["_SUCCESS", "_plan", *(f"part-{number:06d}.parquet" for number in range(len(done)))]
