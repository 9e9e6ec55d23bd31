"""Lists of paths: one a line or ended by zero bytes, read as they come, with whatever bytes a name may hold."""

from __future__ import annotations

import codecs
import io
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from fmnist_edge.batch import LONGEST_PATH, listed_paths
from fmnist_edge.errors import FmnistEdgeError

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLES = sorted(map(str, (Path(__file__).parents[2] / "samples").glob("*.png")))


def listed(folder: Path, content: bytes, *, null: bool = False) -> list[str]:
    path = folder / "list"
    path.write_bytes(content)
    return [found.path for found in listed_paths(str(path), null=null)]


def classify(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([SCRIPT, "classify", *arguments], input=data, capture_output=True, timeout=60)


def test_a_path_a_line_with_or_without_a_last_line_end(tmp_path: Path) -> None:
    assert listed(tmp_path, b"a.png\nb c.png\n") == ["a.png", "b c.png"]
    assert listed(tmp_path, b"a.png\n\nb.png") == ["a.png", "b.png"]
    assert listed(tmp_path, b"") == []


def test_paths_that_end_with_zero_bytes_may_hold_line_ends(tmp_path: Path) -> None:
    assert listed(tmp_path, b"a\nb.png\0c.png\0", null=True) == ["a\nb.png", "c.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="paths are bytes on Linux only")
def test_bytes_that_are_no_text_come_back_as_they_were(tmp_path: Path) -> None:
    (path,) = listed(tmp_path, b"\xff \x1b[31m.png\n")
    assert os.fsencode(path) == b"\xff \x1b[31m.png"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_list_as_editors_on_windows_write_it_names_the_same_paths(encoding: str, tmp_path: Path) -> None:
    text = "a.png\r\n\r\nb ü.png\r\n"
    content = codecs.BOM_UTF16_BE + text.encode(encoding) if encoding == "utf-16-be" else text.encode(encoding)
    assert listed(tmp_path, content) == ["a.png", "b ü.png"]


def test_a_mark_that_comes_a_byte_at_a_time_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.RawIOBase):
        rest = "a.png\r\n".encode("utf-16")

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            piece, self.rest = self.rest[:1], self.rest[1:]
            buffer[: len(piece)] = piece
            return len(piece)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Slow())))
    assert [found.path for found in listed_paths("-")] == ["a.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_ends_in_a_carriage_return_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd\r").touch()
    assert listed(tmp_path, b"odd\r\nplain\r\n") == ["odd\r", "plain"]


def test_a_path_across_the_pieces_that_are_read_is_one(tmp_path: Path) -> None:
    names = [f"{number}-{'x' * 999}.png" for number in range(500)]
    assert listed(tmp_path, "\n".join(names).encode()) == names


def test_what_is_no_path_is_an_error_in_its_place_and_no_end(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"a.png\n-\n" + b"x" * (LONGEST_PATH + 200_000) + b"\nb.png\n")
    found = list(listed_paths(str(path)))
    assert [item.error.code if item.error else None for item in found] == [
        None,
        "unreadable-file",
        "unreadable-file",
        None,
    ]
    assert all(len(item.path) < 100 for item in found)


def test_an_entry_without_an_end_takes_no_more_memory_than_a_long_path(tmp_path: Path) -> None:
    with (tmp_path / "list").open("wb") as file:
        file.truncate(20 * 2**20)
    tracemalloc.start()
    assert [item.error is not None for item in listed_paths(str(tmp_path / "list"))] == [True]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_list_is_read_as_its_paths_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        read = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            Endless.read += 1
            assert Endless.read < 5
            buffer[:6] = b"a.png\n"
            return 6

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    paths = listed_paths("-")
    assert [next(paths).path for _ in range(2)] == ["a.png", "a.png"]


def test_a_list_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FmnistEdgeError, match="cannot read the list"):
        list(listed_paths(str(tmp_path / "none")))
    done = classify("--files-from", str(tmp_path / "none"))
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)


def test_the_command_line_takes_files_lists_and_folders_together(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in.png").write_bytes(Path(SAMPLES[2]).read_bytes())
    names = f"{SAMPLES[1]}\0{tmp_path / 'folder'}\0-\0".encode()
    done = classify("-r", SAMPLES[0], "--files-from", "-", "-0", "--format", "jsonl", data=names)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    expected = [SAMPLES[0], SAMPLES[1], str(tmp_path / "folder" / "in.png"), "-"]
    assert [record["path"] for record in records] == expected
    assert (done.returncode, records[3]["error"]["code"]) == (1, "unreadable-file")


def test_workers_take_a_list_too() -> None:
    done = classify("--files-from", "-", "--workers", "2", data="\n".join(SAMPLES * 60).encode())
    assert done.stdout == classify(*SAMPLES * 60).stdout


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["-0", "x.png"], "--null goes with --files-from"),
        (["-", "--files-from", "-"], "only once"),
        ([], "Missing argument"),
        (["--max-pixels", "0", "x.png"], "--max-pixels"),
        (["--max-pixels", "200000000", "x.png"], "--max-pixels"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], hint: str) -> None:
    done = classify(*arguments)
    assert (done.returncode, done.stdout, hint in done.stderr.decode()) == (2, b"", True)


def test_the_limit_of_pixels_is_an_option() -> None:
    done = classify("--max-pixels", "783", "--format", "jsonl", SAMPLES[0])
    assert json.loads(done.stdout)["error"]["code"] == "too-large"
    assert classify("--max-pixels", "784", SAMPLES[0]).returncode == 0
