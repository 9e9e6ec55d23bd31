"""The state of `classify --watch`: a kill between any two of its steps costs no row and brings none twice."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fmnist_edge.errors import FmnistEdgeError, OutputError, UsageError
from fmnist_edge.journal import Entry, Journal, Output, Stamp

FIRST, SECOND = Entry("a.png", Stamp(10, 5), "aa"), Entry("b.png", Stamp(20, 6), "bb", True)
STRANGE = Entry("\udcff\n.png", Stamp(1, 2), "cc")


class Killed(BaseException):
    """The end of a process, as far as a journal can see it."""


class Deadly(Output):
    """An output with which the process ends after so many bytes of the rows."""

    def __init__(self, descriptor: int, printed: int) -> None:
        super().__init__(descriptor)
        self.printed = printed

    def write(self, text: bytes) -> None:
        super().write(text[: self.printed])
        raise Killed


class Place:
    """A folder with a state and a file of rows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.rows = folder, folder / "state", folder / "rows.txt"
        self.rows.touch()

    def descriptor(self) -> int:
        return os.open(self.rows, os.O_WRONLY | os.O_APPEND)

    def journal(self) -> Journal:
        """Open the state as a new process does."""
        return Journal(self.state, self.folder, Output(self.descriptor()))

    def commit(self) -> None:
        with self.journal() as journal:
            journal.commit([FIRST], "a: Shirt\n")
            journal.commit([SECOND, STRANGE], "b: Bag\n")

    def killed_after(self, printed: int) -> None:
        """Commit one group and end when so many bytes of its rows are printed."""
        with pytest.raises(Killed), Journal(self.state, self.folder, Deadly(self.descriptor(), printed)) as journal:
            journal.commit([FIRST], "a: Shirt\n")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_done_is_known_to_the_next_process(place: Place) -> None:
    place.commit()
    with place.journal() as journal:
        assert [journal.entry_of(one.path) for one in (FIRST, SECOND, STRANGE)] == [FIRST, SECOND, STRANGE]
        assert (len(journal), journal.entry_of("c.png")) == (3, None)
    assert place.rows.read_text() == "a: Shirt\nb: Bag\n"


@pytest.mark.parametrize("printed", range(len("a: Shirt\n") + 1))
def test_a_kill_while_rows_are_printed_is_made_good_to_the_byte(place: Place, printed: int) -> None:
    place.killed_after(printed)
    for _ in range(2):  # and once more, after nothing happened
        with place.journal() as journal:
            assert (journal.entry_of("a.png"), place.rows.read_text()) == (FIRST, "a: Shirt\n")


WRITER = """
import os, sys
from pathlib import Path
from fmnist_edge.journal import Entry, Journal, Output, Stamp
folder = Path(sys.argv[1])
with Journal(folder / "state", folder, Output(os.open(folder / "rows.txt", os.O_WRONLY | os.O_APPEND))) as journal:
    first = len(journal)
    for number in range(first, first + 100_000):
        journal.commit([Entry(f"{number}.png", Stamp(number, number), "aa")], f"{number}: Bag\\n")
"""


def test_a_process_killed_at_any_moment_loses_no_row_and_brings_none_twice(place: Place) -> None:
    for kill in range(6):
        before = place.rows.read_bytes()
        with subprocess.Popen([sys.executable, "-c", WRITER, str(place.folder)]) as writer:
            while place.rows.read_bytes() == before and writer.poll() is None:
                time.sleep(0.001)
            time.sleep(0.003 * kill)
            writer.send_signal(signal.SIGKILL)
        assert writer.returncode == -signal.SIGKILL
    with place.journal() as journal:
        lines = place.rows.read_text().splitlines()
        assert lines == [f"{number}: Bag" for number in range(len(journal))]
        assert len(lines) >= 6


@pytest.mark.parametrize("other", ["", "rows of something else, and more of them than there were\n"])
def test_rows_go_to_another_file_whole_if_the_first_one_is_gone(place: Place, other: str) -> None:
    place.killed_after(4)
    place.rows.rename(place.folder / "rows.1")
    place.rows.write_text(other)
    place.journal().close()
    assert place.rows.read_text() == f"{other}a: Shirt\n"


def test_rows_that_were_printed_do_not_come_again_in_another_file(place: Place) -> None:
    place.commit()
    place.rows.rename(place.folder / "rows.1")
    place.rows.touch()
    with place.journal() as journal:
        assert (len(journal), place.rows.read_text()) == (3, "")


def test_a_pipe_may_get_the_last_rows_again_but_never_loses_any(place: Place) -> None:
    reading, writing = os.pipe()
    with pytest.raises(Killed), Journal(place.state, place.folder, Deadly(writing, 100)) as journal:
        journal.commit([FIRST], "a: Shirt\n")
    Journal(place.state, place.folder, Output(writing)).close()
    os.close(writing)
    assert os.read(reading, 100) == b"a: Shirt\na: Shirt\n"


def test_two_watchers_do_not_share_a_state(place: Place) -> None:
    with place.journal(), pytest.raises(UsageError, match="another process watches"):
        place.journal()
    place.journal().close()


def test_the_state_of_another_folder_is_left_alone(place: Place) -> None:
    place.commit()
    with pytest.raises(UsageError, match="is the state of watching"):
        Journal(place.state, place.folder.parent, Output(1))


def test_a_file_of_something_else_is_left_alone(place: Place) -> None:
    with sqlite3.connect(place.state) as other:
        other.execute("CREATE TABLE holidays (place TEXT)")
    other.close()
    for content in (b'{"my": "settings"}\n' * 100, place.state.read_bytes()):
        place.state.write_bytes(content)
        with pytest.raises(UsageError, match="is not a state of"):
            place.journal()
        assert place.state.read_bytes() == content


def test_a_state_that_is_damaged_says_what_to_do(place: Place) -> None:
    with place.journal() as journal:
        journal.commit([Entry(f"{number}.png", Stamp(1, 1), "aa" * 32) for number in range(1000)], "")
    content = place.state.read_bytes()
    place.state.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(FmnistEdgeError, match="move it away"), place.journal() as journal:
        journal.entry_of("1.png")


def test_a_state_that_cannot_be_written_is_one_clear_error(place: Place) -> None:
    with pytest.raises(OutputError, match="choose another place with --state"):
        Journal(place.rows / "below", place.folder, Output(1))
    with pytest.raises(UsageError, match="cannot keep a state"):
        Journal(Path("/dev/null"), place.folder, Output(1))


def test_a_state_may_be_copied_while_nobody_watches(place: Place) -> None:
    place.commit()
    shutil.copy(place.state, place.folder / "copy")
    with Journal(place.folder / "copy", place.folder, Output(1)) as journal:
        assert len(journal) == 3
