"""What a source stands for: the files that `classify -r` visits, or the rows of a Parquet file."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow
import pytest
from pyarrow import fs

from fmnist_edge.batch import walk
from fmnist_edge.errors import DataError, ImageError, UsageError
from fmnist_edge.lake.opening import open_destination, open_sources
from fmnist_edge.lake.parquet_sources import BytesColumn, PathColumn
from fmnist_edge.lake.sources import ImageFiles, Picture, Source
from fmnist_edge.lake.storage import Place, open_place, read_bytes
from tests.lake.tables import table


def pictures(source: Source) -> list[tuple[str, Picture]]:
    return [picture for item in source.items(0) for picture in source.pictures(item)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.png", "b/.hidden.png", "b/c/3.png", "a.png", "z.txt", ".git/x.png", "b.png", "é/ü?.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "photos"


@pytest.mark.parametrize("given", ["photos", "./photos/", "."])
def test_a_folder_is_the_files_that_classify_visits(folder: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (source,) = open_sources([given], None)
    found = pictures(source)
    assert [path for path, _ in found] == [found.path for found in walk(given)]
    monkeypatch.chdir("/")  # a worker has a working folder of its own
    assert all(isinstance(place, str) and Path(place).is_file() for _, place in found)


def test_a_folder_in_another_storage_is_the_same_files(folder: Path) -> None:
    source = ImageFiles(Place(fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), "", "far://away"), True)
    names = [os.path.relpath(found.path, folder) for found in walk(str(folder))]
    found = pictures(source)
    assert sorted(path for path, _ in found) == sorted(f"far://away/{name}" for name in names)
    assert [read_bytes(place).decode() for _, place in found if isinstance(place, Place)] == [
        path.removeprefix("far://away/") for path, _ in found
    ]


def test_a_name_that_is_no_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.png"
    Path(os.fsdecode(path)).touch()
    (source,) = open_sources([str(tmp_path)], None)
    assert pictures(source) == [(os.fsdecode(path), os.fsdecode(path))]


def test_a_file_is_itself(folder: Path) -> None:
    (source,) = open_sources([str(folder / "z.txt")], None)
    assert pictures(source) == [(str(folder / "z.txt"), str(folder / "z.txt"))]


def test_paths_of_a_column_lie_beside_the_table_unless_absolute(folder: Path) -> None:
    paths = ["photos/a.png", str(folder / "b.png"), f"file://{folder}/z.txt", None]
    (source,) = open_sources([str(table(folder.parent / "t.parquet", path=paths))], None)
    assert isinstance(source, PathColumn)
    *found, (name, error) = pictures(source)
    files = [str(folder / name) for name in ("a.png", "b.png", "z.txt")]
    assert found == list(zip(paths, files, strict=False))
    assert name == f"{folder.parent}/t.parquet#3"
    assert isinstance(error, ImageError)
    assert error.code == "missing-file"


def test_keys_of_a_column_are_taken_as_they_are_from_the_storage_of_the_table() -> None:
    options = "?endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1"
    source = PathColumn(open_place(f"s3://key:secret@bucket/t.parquet{options}"), "path")
    assert source._place("s3://other/a b%20?.png") == Place(
        source.place.filesystem, "other/a b%20?.png", "s3://other/a b%20?.png"
    )
    assert source._place("photos/a.png").path == "bucket/photos/a.png"


def test_images_of_a_column_are_numbered_rows_in_groups(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", 2, label=[1, 2, 3], image=[b"one", None, b"three"])
    (source,) = open_sources([str(path)], None)
    assert isinstance(source, BytesColumn)
    assert [(item.count, item.first) for item in source.items(0)] == [(2, 0), (1, 2)]
    one, two, three = pictures(source)
    assert (one, three) == ((f"{path}#0", b"one"), (f"{path}#2", b"three"))
    assert isinstance(two[1], ImageError)


def test_a_folder_with_a_column_is_its_parquet_files(tmp_path: Path) -> None:
    for name in ("2.parquet", "1.parquet", "_metadata.parquet", ".x.parquet"):
        table(tmp_path / name, image=[b"one"], other=["text"])
    (tmp_path / "readme.txt").touch()
    sources = open_sources([str(tmp_path)], "image")
    assert [source.place.shown for source in sources] == [f"{tmp_path}/1.parquet", f"{tmp_path}/2.parquet"]


def test_a_column_that_is_not_clear_must_be_named(tmp_path: Path) -> None:
    path = str(table(tmp_path / "t.parquet", a=["x"], b=[b"x"], c=[1]))
    with pytest.raises(UsageError, match=r"--column; it has a, b$"):
        open_sources([path], None)
    with pytest.raises(UsageError, match=r"no column 'c' of paths or of encoded images; it has a, b$"):
        open_sources([path], "c")
    assert isinstance(open_sources([path], "b")[0], BytesColumn)


def test_a_column_in_vain_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="--column has no effect"):
        open_sources([str(folder / "a.png")], "image")


def test_a_damaged_table_is_a_matter_of_the_data(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", image=[b"x" * 1000])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"t\.parquet as a Parquet file"):
        open_sources([str(path)], None)


def test_sources_that_overlap_are_refused(folder: Path) -> None:
    for pair in ([folder, folder / "b"], [folder / "a.png", folder], [folder, f"{folder}/"]):
        with pytest.raises(UsageError, match="overlap: images would come twice"):
            open_sources([str(path) for path in pair], None)
    assert len(open_sources([str(folder / "b"), str(folder / "b.png")], None)) == 2


def test_a_source_of_nothing_is_a_matter_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is nothing at .*none: no such file, folder or bucket"):
        open_sources([str(tmp_path / "none")], None)


def test_results_do_not_go_among_the_images_or_into_a_file(folder: Path) -> None:
    sources = open_sources([str(folder)], None)
    with pytest.raises(UsageError, match="results would be taken for images"):
        open_destination(str(folder / "results"), sources)
    with pytest.raises(UsageError, match="is a file"):
        open_destination(str(folder / "a.png"), ())
    assert open_destination(str(folder.parent / "photos-labels"), sources).shown.endswith("photos-labels")


def test_pyarrow_reads_a_column_of_either_width(tmp_path: Path) -> None:
    large = pyarrow.array([b"x"], pyarrow.large_binary())
    path = table(tmp_path / "t.parquet", image=large)
    assert isinstance(open_sources([str(path)], None)[0], BytesColumn)
