"""`classify --watch`: every file that is dropped has exactly one row, whatever ends the process."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fmnist_edge import Classifier
from tests.reliability.dropping import PHOTOS, Drop, drop_all, drops
from tests.reliability.kills import SAMPLES, SCRIPT
from tests.runtime.pictures import encoded, garment

SEED = 7
PATIENCE = 600  # seconds that a test waits for what must come
posix_only = pytest.mark.skipif(os.name == "nt", reason="signals and names of bytes are POSIX's")
pytestmark = posix_only


@dataclass
class Watcher:
    """A process that watches a folder, and the file that its rows are appended to."""

    folder: Path
    rows: Path
    options: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [SCRIPT, "classify", "--watch", str(self.folder), "--format", "jsonl", *self.options]
        with self.rows.open("ab") as rows:
            self.process = subprocess.Popen(command, stdout=rows, stderr=subprocess.PIPE)

    def end(self, number: signal.Signals) -> tuple[int, bytes]:
        """Send a signal and return exit code and standard error."""
        assert self.process is not None
        self.process.send_signal(number)
        _, told = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, told

    def lines(self) -> int:
        return self.rows.read_bytes().count(b"\n")

    def wait_for(self, lines: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.lines() < lines and time.monotonic() < deadline:
            assert self.process is None or self.process.poll() is None, "it ended"
            time.sleep(0.02)

    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.rows.read_bytes().splitlines()]

    def labels(self) -> dict[str, object]:
        """Return the labels by name, and see that no name comes twice."""
        records = self.records()
        names = [Path(str(record["path"])).name for record in records]
        assert sorted(names) == sorted(set(names))
        return {name: record["label"] for name, record in zip(names, records, strict=True)}


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    (tmp_path / "drop").mkdir()
    (tmp_path / "rows.jsonl").touch()
    return Watcher(tmp_path / "drop", tmp_path / "rows.jsonl", ["--state", str(tmp_path / "state"), "--settle", "0.2"])


def watched(watcher: Watcher, items: list[Drop], kills: int, settle: float) -> list[str]:
    """Drop files, kill and restart the watcher meanwhile, and return what is wrong with the rows."""
    choice = random.Random(SEED)
    writer = threading.Thread(target=drop_all, args=(items[:-1], settle, SEED))
    writer.start()
    for _ in range(kills):
        before = watcher.lines()
        watcher.start()
        if choice.random() < 0.8:  # else also while it starts
            watcher.wait_for(min(before + 1, len(items) - 1))  # on a slow machine all have their row already
        time.sleep(choice.uniform(0, 1))
        watcher.end(signal.SIGKILL)
    watcher.start()
    writer.join()
    drop_all(items[-1:], settle, SEED)  # so that the last process is known to watch when it is asked to end
    watcher.wait_for(len(items))
    time.sleep(4 * settle)  # for a row too many
    code, told = watcher.end(signal.SIGTERM)
    faults = [] if code == 0 else [f"exit code {code}: {told.decode()}"]
    classifier = Classifier()
    expected = {item.path: classifier.classify(item.content).index for item in items}
    rows = [(str(record["path"]), record["index"]) for record in watcher.records()]
    counts = Counter(path for path, _ in rows)
    faults += [f"{path!r} has {counts[path]} rows" for path in expected if counts[path] != 1]
    faults += [f"{path!r} is {index}, not {expected.get(path)}" for path, index in rows if index != expected.get(path)]
    return faults


def test_every_file_has_one_row_though_the_watcher_is_killed(watcher: Watcher) -> None:
    items = drops(watcher.folder, 120, random.Random(SEED))
    assert watched(watcher, items, 3, 0.2) == []


@pytest.mark.stress
def test_five_thousand_files_and_ten_kills(watcher: Watcher) -> None:
    items = drops(watcher.folder, 5000, random.Random(SEED))
    assert watched(watcher, items, 10, 0.2) == []


def test_what_is_there_already_is_classified_and_what_was_done_is_not_again(watcher: Watcher) -> None:
    for sample in SAMPLES:
        shutil.copy(sample, watcher.folder)
    watcher.start()
    watcher.wait_for(10)
    assert watcher.end(signal.SIGINT)[0] == 0
    shutil.copy(PHOTOS[1], watcher.folder)
    watcher.start()
    watcher.wait_for(11)
    assert watcher.end(signal.SIGTERM)[0] == 0
    assert watcher.labels()[PHOTOS[1].name] == Classifier().classify(PHOTOS[1]).label
    assert len(watcher.records()) == 11


def test_another_picture_under_an_old_name_has_a_row_of_its_own_but_not_one_that_was_only_touched(
    watcher: Watcher,
) -> None:
    for name in ("replaced.png", "touched.png"):
        shutil.copy(SAMPLES[0], watcher.folder / name)
    watcher.start()
    watcher.wait_for(2)
    os.utime(watcher.folder / "touched.png", (1, 1))
    shutil.copy(SAMPLES[9], watcher.folder / "new.tmp")
    (watcher.folder / "new.tmp").rename(watcher.folder / "replaced.png")
    watcher.wait_for(3)
    time.sleep(1)
    watcher.end(signal.SIGTERM)
    rows = [(Path(str(record["path"])).name, record["label"]) for record in watcher.records()]
    assert rows[2:] == [("replaced.png", "Ankle boot")]


def test_a_writer_that_pauses_for_longer_than_files_settle_gets_no_error_row(watcher: Watcher) -> None:
    whole, path = Path(SAMPLES[0]).read_bytes(), watcher.folder / "a.png"
    path.write_bytes(whole[:200])
    watcher.start()
    for number in (1, 2):  # each is seen after the first half has settled
        time.sleep(0.5)
        shutil.copy(SAMPLES[number], watcher.folder)
        watcher.wait_for(number)
    path.write_bytes(whole)
    watcher.wait_for(3)
    watcher.end(signal.SIGTERM)
    assert "a.png" in watcher.labels()
    assert [record["error"] for record in watcher.records()] == [None] * 3


def test_bytes_that_come_late_behind_a_whole_picture_bring_no_second_row(watcher: Watcher) -> None:
    """The end of a PNG says nothing of the picture, so that a file cut before it can be decoded."""
    whole, path = Path(SAMPLES[0]).read_bytes(), watcher.folder / "a.png"
    path.write_bytes(whole[:-6])
    watcher.start()
    watcher.wait_for(1)
    path.write_bytes(whole)
    shutil.copy(SAMPLES[1], watcher.folder / "b.png")
    watcher.wait_for(2)
    time.sleep(1)
    watcher.end(signal.SIGTERM)
    assert set(watcher.labels()) == {"a.png", "b.png"}


def test_unfinished_and_hidden_files_and_folders_wait(watcher: Watcher) -> None:
    for name in ("a.png.part", ".b.png", "c.png.crdownload"):
        shutil.copy(SAMPLES[0], watcher.folder / name)
    (watcher.folder / "sub").mkdir()
    shutil.copy(SAMPLES[0], watcher.folder / "sub")
    shutil.copy(SAMPLES[1], watcher.folder / "done.png")
    watcher.start()
    watcher.wait_for(1)
    (watcher.folder / "a.png.part").rename(watcher.folder / "a.png")
    watcher.wait_for(2)
    time.sleep(1)
    watcher.end(signal.SIGTERM)
    assert set(watcher.labels()) == {"done.png", "a.png"}


def test_subfolders_are_watched_on_request(watcher: Watcher) -> None:
    watcher.options.append("-r")
    (watcher.folder / "sub").mkdir()
    shutil.copy(SAMPLES[0], watcher.folder / "sub" / "a.png")
    watcher.start()
    watcher.wait_for(1)
    watcher.end(signal.SIGTERM)
    assert [Path(str(record["path"])).parts[-2:] for record in watcher.records()] == [("sub", "a.png")]


def test_a_damaged_file_is_called_so_after_a_while_and_its_completion_is_seen_even_then(watcher: Watcher) -> None:
    whole = encoded(garment())
    cut, old = watcher.folder / "cut.png", watcher.folder / "old.png"
    for path in (cut, old):
        path.write_bytes(whole[:100])
    os.utime(old, (1, 1))  # nobody has touched it for long
    watcher.start()
    watcher.wait_for(1)
    assert [record["error"]["code"] for record in watcher.records()] == ["unreadable-image"]  # type: ignore[index]
    cut.write_bytes(whole)
    watcher.wait_for(2)
    code, _ = watcher.end(signal.SIGTERM)
    assert (code, Path(str(watcher.records()[1]["path"])).name, watcher.records()[1]["error"]) == (1, "cut.png", None)


def test_a_folder_that_vanishes_is_waited_for(watcher: Watcher) -> None:
    watcher.start()
    shutil.copy(SAMPLES[0], watcher.folder / "1.png")
    watcher.wait_for(1)
    watcher.folder.rename(watcher.folder.with_name("away"))
    time.sleep(0.5)
    watcher.folder.mkdir()
    shutil.copy(SAMPLES[1], watcher.folder / "2.png")
    watcher.wait_for(2)
    code, told = watcher.end(signal.SIGTERM)
    assert (code, b"cannot list the folder" in told, b"there again" in told) == (0, True, True)


def test_a_table_has_one_header_though_it_is_written_by_many_processes(watcher: Watcher) -> None:
    watcher.options += ["--format", "csv"]
    for number in (0, 1):
        shutil.copy(SAMPLES[number], watcher.folder)
        watcher.start()
        watcher.wait_for(2 + number)
        watcher.end(signal.SIGKILL)
    lines = watcher.rows.read_text().splitlines()
    assert len(lines) == 3
    assert [line.startswith("path,label") for line in lines] == [True, False, False]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--watch", ".", "x.png"], "name no other inputs"),
        (["--watch", ".", "--files-from", "-"], "name no other inputs"),
        (["--watch", ".", "--output", "x"], "append with"),
        (["--watch", ".", "--format", "json"], "jsonl"),
        (["--watch", ".", "--workers", "2"], "no effect"),
        (["--watch", "missing"], "does not exist"),
        (["--state", "x", "y.png"], "go with --watch"),
        (["--settle", "1", "y.png"], "go with --watch"),
    ],
)
def test_what_makes_no_sense_with_watch_is_refused(arguments: list[str], hint: str) -> None:
    done = subprocess.run([SCRIPT, "classify", *arguments], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, b"")
    assert hint in done.stderr.decode()


def test_without_a_state_every_start_begins_anew(watcher: Watcher) -> None:
    watcher.options = ["--settle", "0.2"]
    shutil.copy(SAMPLES[0], watcher.folder)
    for start in (1, 2):
        watcher.start()
        watcher.wait_for(start)
        watcher.end(signal.SIGTERM)
    assert len(watcher.records()) == 2
