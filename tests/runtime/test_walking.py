"""Walking folders: which files, in which order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fmnist_edge.batch import expand, walk

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def walked(root: Path) -> list[str]:
    return [Path(found.path).relative_to(root).as_posix() for found in walk(str(root))]


def test_files_are_sorted_by_name_at_each_level_and_folders_stand_in_their_place(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a.png", "a/2.png", "a/10.png", "c/d/e.png", "Z.png")
    assert walked(tmp_path) == ["Z.png", "a/10.png", "a/2.png", "a.png", "b.png", "c/d/e.png"]


def test_hidden_files_and_folders_are_left_out_but_not_a_hidden_folder_that_was_given(tmp_path: Path) -> None:
    make(tmp_path, ".hidden.png", ".git/x.png", "seen.png")
    assert walked(tmp_path) == ["seen.png"]
    assert [found.path for found in walk(str(tmp_path / ".git"))] == [str(tmp_path / ".git" / "x.png")]


@posix_only
def test_symlinked_files_are_taken_symlinked_folders_are_not_and_broken_links_do_not_go_unnoticed(
    tmp_path: Path,
) -> None:
    make(tmp_path, "real/1.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "real" / "2.png").symlink_to("1.png")
    (tmp_path / "real" / "3.png").symlink_to("nowhere")
    assert walked(tmp_path) == ["real/1.png", "real/2.png", "real/3.png"]


@posix_only
def test_links_that_lead_in_a_circle_cost_no_other_file_of_the_folder(tmp_path: Path) -> None:
    make(tmp_path, "b.png")
    (tmp_path / "a").symlink_to("c")
    (tmp_path / "c").symlink_to("a")
    assert walked(tmp_path) == ["a", "b.png", "c"]


@posix_only
def test_pipes_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    make(tmp_path, "file")
    assert walked(tmp_path) == ["file"]


def test_not_deep_is_the_folder_itself_alone(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a/1.png")
    assert [Path(found.path).name for found in walk(str(tmp_path), deep=False)] == ["b.png"]


def test_the_path_given_stays_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "folder/1.png")
    monkeypatch.chdir(tmp_path)
    assert [found.path for found in expand(["./folder", Path("x")], recursive=True)] == [
        os.path.join("./folder", "1.png"),  # noqa: PTH118
        "x",
    ]


def test_without_recursive_a_folder_is_passed_on_as_it_is(tmp_path: Path) -> None:
    assert [found.path for found in expand([tmp_path])] == [str(tmp_path)]


def test_a_folder_that_vanishes_is_an_error_and_the_rest_goes_on(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png", "c.png")
    found = walk(str(tmp_path))
    assert next(found).error is None
    (tmp_path / "b" / "1.png").unlink()
    (tmp_path / "b").rmdir()
    rest = list(found)
    assert [item.error.code if item.error else None for item in rest] == ["unreadable-file", None]


@posix_only
def test_a_tree_deeper_than_python_recurses_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = sys.getrecursionlimit() + 100
    monkeypatch.chdir(tmp_path)
    for _ in range(depth):  # by relative steps, and down again the same way: Python 3.11 cannot remove such a tree
        Path("d").mkdir()
        os.chdir("d")
    Path("deep.png").touch()
    os.chdir(tmp_path)
    try:
        assert [Path(found.path).name for found in walk("d")] == ["deep.png"]
    finally:
        os.chdir("d/" * depth)
        Path("deep.png").unlink()
        for _ in range(depth):
            os.chdir("..")
            Path("d").rmdir()


@pytest.mark.skipif(sys.platform != "linux", reason="paths are bytes on Linux only")
def test_names_that_are_not_utf_8_come_as_surrogate_escapes(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).touch()
    assert walked(tmp_path) == ["\udcff.png"]
