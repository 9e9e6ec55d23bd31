"""`classify --watch` in this process, so that things happen at the worst moment: between two steps of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fmnist_edge import Classifier
from fmnist_edge import watch as watch_module
from fmnist_edge.batch import OnAnswer, Result
from fmnist_edge.journal import Journal, Output
from fmnist_edge.watch import DropFolder, Interruption, Listener, Ready, Watch, watch
from tests.reliability.kills import SAMPLES, SCRIPT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
BAG, BOOT = SAMPLES[8], SAMPLES[9]


def watched(
    folder: Path,
    rows: Callable[[list[Result]], str],
    on_result: Callable[[Result], None] = lambda _: None,
    on_answer: OnAnswer | None = None,
) -> str:
    """Watch a folder until an interrupt, and return what was printed."""
    printed = folder.with_name("rows.txt")
    with printed.open("ab") as file, Interruption() as interruption:
        journal = Journal(None, folder, Output(file.fileno()))
        listener = Listener(rows, on_result, lambda _: None, on_answer)
        with pytest.raises(KeyboardInterrupt):
            watch(Classifier(), Watch(folder, settle=0.05), journal, interruption, listener)
    return printed.read_text()


def labels(results: list[Result]) -> str:
    return "".join(f"{result.prediction and result.prediction.label}\n" for result in results)


def end(_: Result) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """Return a folder with one picture."""
    (tmp_path / "drop").mkdir()
    shutil.copy(BAG, tmp_path / "drop" / "a.png")
    return tmp_path / "drop"


def test_a_file_that_has_just_changed_is_left_alone_but_not_an_old_one_that_was_moved_in(drop: Path) -> None:
    """Some writers reserve all of a file and fill it in: an uncompressed picture can be decoded long before its end."""
    shutil.copy(BOOT, drop / "old.png")
    os.utime(drop / "old.png", (1, 1))
    looked = DropFolder(drop, Journal(None, drop, Output(1)), recursive=False, settle=60)
    assert [ready.name for ready in looked.ready()] == ["old.png"]


def test_a_file_that_cannot_be_decoded_is_looked_at_once_more_in_the_end(
    drop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "DAMAGED_AFTER", 2)
    looked = DropFolder(drop, Journal(None, drop, Output(1)), recursive=False, settle=0.1)
    os.utime(drop / "a.png", (time.time() + 1, time.time() + 1))  # stands still from now on
    first = _wait(looked)
    assert not first.overdue
    looked.wait_longer(first)
    assert _wait(looked).overdue


def _wait(looked: DropFolder) -> Ready:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := looked.ready():
            return found[0]
        time.sleep(0.01)
    raise AssertionError("nothing is ready")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_rows_are_made_waits_until_they_are_printed(drop: Path, number: int) -> None:
    def interrupted(results: list[Result]) -> str:
        os.kill(os.getpid(), number)
        return labels(results)

    assert watched(drop, interrupted) == "Bag\n"


def test_a_second_interrupt_does_not_wait(drop: Path) -> None:
    def interrupted(results: list[Result]) -> str:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        return labels(results)

    assert watched(drop, interrupted) == ""


def test_a_file_that_is_replaced_while_it_is_classified_has_the_row_of_its_last_content(drop: Path) -> None:
    replaced = []

    def replace(path: str, *_: object) -> None:
        if not replaced:
            shutil.copy(BOOT, path)
        replaced.append(path)

    assert watched(drop, labels, end, replace) == "Ankle boot\n"
    assert len(replaced) == 2


def test_a_reader_that_leaves_ends_the_watcher_quietly(drop: Path) -> None:
    command = [SCRIPT, "classify", "--watch", str(drop), "--settle", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"Bag" in process.stdout.readline()
        process.stdout.close()
        shutil.copy(BOOT, drop / "b.png")
        _, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (0, b"")
