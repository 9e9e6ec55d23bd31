"""Plan and results: what a run writes down, so that another can go on where it was."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pyarrow import dataset

from fmnist_edge.batch import FIELDS
from fmnist_edge.errors import DataError, OutputError, UsageError
from fmnist_edge.lake.job import Job, make_job
from fmnist_edge.lake.plan import PARTS_A_FILE, read_part, read_plan
from fmnist_edge.lake.progress import check_complete, failed_before, prepare
from fmnist_edge.lake.results import sweep, write_part, written_parts
from tests.lake.tables import table

ROW: dict[str, Any] = {"path": "a.png", "label": "Coat", "index": 4, "confidence": 0.5, "top": "[]", "source": "photos"}
BAD: dict[str, Any] = {"path": "b.txt", "top": "[]", "error_code": "not-an-image", "source": "photos"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.png").touch()
    return folder


def job(photos: Path, **options: Any) -> Job:
    return make_job([str(photos)], str(photos.parent / "results"), **options)


def test_every_input_is_in_one_part_in_order(photos: Path) -> None:
    task = job(photos)
    progress = prepare(task, 3)
    assert (progress.plan.parts, progress.plan.inputs, progress.left) == (3, 7, [0, 1, 2])
    items = [item for number in range(3) for item in read_part(task.destination, number)]
    assert [Path(item.path).name for item in items] == [f"{number}.png" for number in range(7)]


def test_a_plan_of_many_parts_lies_in_several_files(photos: Path) -> None:
    task = job(photos)
    for number in range(PARTS_A_FILE):
        (photos / f"x{number:03}.png").touch()
    assert prepare(task, 1).plan.parts == PARTS_A_FILE + 7
    assert len(list((photos.parent / "results/_plan").glob("items-*.parquet"))) == 2
    assert Path(read_part(task.destination, PARTS_A_FILE + 6)[0].path).name == "x099.png"


def test_a_name_that_is_no_utf8_passes_through_the_plan(photos: Path) -> None:
    name = os.fsdecode(os.fsencode(photos) + b"/\xff.png")
    Path(name).touch()
    task = job(photos)
    prepare(task)
    assert read_part(task.destination, 0)[-1].path == name


def test_a_row_group_is_in_one_part_with_its_place(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", 4, image=[b"x"] * 10)
    task = make_job([str(path)], str(tmp_path / "results"))
    assert prepare(task, 3).plan.parts == 3
    assert [(item.group, item.first, item.count) for item in read_part(task.destination, 2)] == [(2, 8, 2)]


def test_what_is_done_is_left_out_and_its_errors_are_counted(photos: Path) -> None:
    task = job(photos)
    prepare(task, 3)
    write_part(task.destination, 1, [ROW, BAD, BAD])
    progress = prepare(job(photos))
    assert progress.left == [0, 2]
    assert failed_before(task, progress) == 2


def test_files_that_came_later_change_no_plan(photos: Path) -> None:
    prepare(job(photos), 3)
    (photos / "00.png").touch()
    assert prepare(job(photos)).plan.inputs == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 5}, "top_k: 3, now 5"),
        ({"min_confidence": 0.5}, "min_confidence: none, now 0.5"),
        ({"route": "photo"}, "route: auto, now photo"),
    ],
)
def test_other_options_do_not_go_on_with_a_run(photos: Path, options: dict[str, Any], message: str) -> None:
    prepare(job(photos))
    with pytest.raises(UsageError, match=message):
        prepare(job(photos, **options))


def test_another_release_does_not_go_on_with_a_run(photos: Path) -> None:
    task = job(photos)
    prepare(dataclasses.replace(task, settings=dataclasses.replace(task.settings, package="0.0.1")))
    with pytest.raises(UsageError, match=r"package: 0\.0\.1, now "):
        prepare(task)


def test_another_part_size_has_no_effect_on_a_plan(photos: Path) -> None:
    prepare(job(photos), 3)
    with pytest.raises(UsageError, match=r"--part-size has no effect: .* was planned with 3"):
        prepare(job(photos), 4)
    assert prepare(job(photos), 3).plan.part_size == 3


def test_results_without_a_plan_are_not_added_to(photos: Path) -> None:
    task = job(photos)
    write_part(task.destination, 0, [ROW])
    with pytest.raises(UsageError, match="results without a plan"):
        prepare(task)


@pytest.mark.parametrize("content", ["", "{}", '{"settings": {"colour": "red"}}'])
def test_a_damaged_plan_is_no_plan_to_go_on_with(photos: Path, content: str) -> None:
    task = job(photos)
    prepare(task)
    (photos.parent / "results/_plan/plan.json").write_text(content)
    with pytest.raises(DataError, match="no plan of this version"):
        read_plan(task.destination)


def test_a_listing_that_was_stopped_is_begun_again(photos: Path) -> None:
    task = job(photos)
    prepare(task, 3)
    (photos.parent / "results/_plan/plan.json").unlink()
    assert prepare(task, 2).plan.parts == 4


def test_no_credentials_reach_the_plan(photos: Path) -> None:
    task = job(photos)
    prepare(task)
    facts = json.loads((photos.parent / "results/_plan/plan.json").read_text())
    assert facts["settings"]["sources"] == [str(photos)]


def test_readers_see_rows_alone_and_debris_is_swept(photos: Path) -> None:
    task = job(photos)
    prepare(task, 3)
    write_part(task.destination, 0, [ROW, BAD])
    debris = photos.parent / "results/.fmnist-edge-0123456789ab.tmp"
    debris.write_bytes(b"half")
    (photos.parent / "results/.mine.tmp").touch()
    rows = dataset.dataset(photos.parent / "results").to_table()
    assert rows.column_names == [*FIELDS, "source"]
    assert rows.to_pylist() == [dict.fromkeys(rows.column_names) | row for row in (ROW, BAD)]
    sweep(task.destination)
    assert not debris.exists()
    assert (photos.parent / "results/.mine.tmp").exists()


def test_a_part_that_is_written_again_is_the_same_file(photos: Path) -> None:
    task = job(photos)
    contents = []
    for _ in range(2):
        write_part(task.destination, 0, [ROW, BAD])
        contents.append((photos.parent / "results/part-000000.parquet").read_bytes())
    assert contents[0] == contents[1]
    assert written_parts(task.destination) == {0}


def test_parts_on_the_disk_of_another_machine_are_missed(photos: Path) -> None:
    task = job(photos)
    plan = prepare(task, 3).plan
    write_part(task.destination, 0, [ROW])
    with pytest.raises(OutputError, match=r"2 of 3 parts did not reach .*share"):
        check_complete(task, plan)
    for number in (1, 2):
        write_part(task.destination, number, [ROW])
    check_complete(task, plan)
    assert (photos.parent / "results/_SUCCESS").exists()
