"""The journal of `classify --watch`: a kill between any two of its steps costs no row and brings none twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fmnist_edge.errors import FmnistEdgeError, OutputError, UsageError
from fmnist_edge.watch import Entry, Journal, Output, Stamp

FIRST, SECOND = Entry("a.png", Stamp(10, 5), "aa"), Entry("b.png", Stamp(20, 6), "bb", True)


class Place:
    """A folder with a journal and a file of rows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.rows = folder, folder / "state", folder / "rows.txt"
        self.rows.touch()

    def journal(self) -> Journal:
        """Open the journal as a new process does."""
        return Journal(self.state, self.folder, Output(os.open(self.rows, os.O_WRONLY | os.O_APPEND)))

    def committed(self) -> list[bytes]:
        """Commit two groups, and return the lines of the journal."""
        with self.journal() as journal:
            journal.commit([FIRST], "a: Shirt\n")
            journal.commit([SECOND], "b: Bag\n")
        return self.state.read_bytes().splitlines(keepends=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_done_is_known_to_the_next_process(place: Place) -> None:
    place.committed()
    journal = place.journal()
    assert (len(journal), journal.entry_of("a.png"), journal.entry_of("b.png")) == (2, FIRST, SECOND)
    assert journal.entry_of("c.png") is None
    assert place.rows.read_text() == "a: Shirt\nb: Bag\n"


@pytest.mark.parametrize("printed", range(len("b: Bag\n") + 1))
def test_a_kill_while_rows_are_printed_is_made_good_to_the_byte(place: Place, printed: int) -> None:
    lines = place.committed()
    place.state.write_bytes(b"".join(lines[:-1]))  # the second group was noted, and not noted as printed
    with place.rows.open("r+") as rows:
        rows.truncate(len("a: Shirt\n") + printed)
    with place.journal() as journal:
        assert place.rows.read_text() == "a: Shirt\nb: Bag\n"
        assert len(journal) == 2
    place.journal()  # and once more, after nothing happened
    assert place.rows.read_text() == "a: Shirt\nb: Bag\n"


class Killed(BaseException):
    """The end of a process, as far as a journal can see it."""


class Deadly(Output):
    """An output with which the process ends: before or after the rows are written."""

    def __init__(self, descriptor: int, *, after: bool) -> None:
        super().__init__(descriptor)
        self.after = after

    def write(self, text: bytes) -> None:
        if self.after:
            super().write(text)
        raise Killed


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_just_before_or_after_rows_are_printed_costs_none_and_brings_none_twice(
    place: Place, after: bool
) -> None:
    output = Deadly(os.open(place.rows, os.O_WRONLY | os.O_APPEND), after=after)
    with pytest.raises(Killed), Journal(place.state, place.folder, output) as journal:
        journal.commit([FIRST], "a: Shirt\n")
    with place.journal() as journal:
        assert journal.entry_of("a.png") == FIRST
        assert place.rows.read_text() == "a: Shirt\n"


def test_a_kill_at_any_byte_of_the_journal_leaves_a_usable_one(place: Place) -> None:
    content = b"".join(place.committed())
    for length in range(len(content)):
        place.state.write_bytes(content[:length])
        with place.journal() as journal:
            assert len(journal) <= 2
            journal.commit([SECOND], "")
        with place.journal() as journal:
            assert journal.entry_of("b.png") == SECOND


@pytest.mark.parametrize("other", ["", "rows of something else, and more of them than there were\n"])
def test_rows_go_to_another_file_whole_if_the_first_one_is_gone(place: Place, other: str) -> None:
    lines = place.committed()
    place.state.write_bytes(b"".join(lines[:-1]))
    place.rows.rename(place.folder / "rows.1")
    place.rows.write_text(other)
    place.journal()
    assert place.rows.read_text() == f"{other}b: Bag\n"


def test_rows_that_were_printed_do_not_come_again_in_another_file(place: Place) -> None:
    place.committed()
    place.rows.rename(place.folder / "rows.1")
    place.rows.touch()
    with place.journal() as journal:
        assert (len(journal), place.rows.read_text()) == (2, "")


def test_a_pipe_may_get_the_last_rows_again_but_never_loses_any(place: Place) -> None:
    reading, writing = os.pipe()
    Journal(place.state, place.folder, Output(writing)).commit([FIRST], "a: Shirt\n")
    place.state.write_bytes(b"".join(place.state.read_bytes().splitlines(keepends=True)[:-1]))
    # A new process: the lock went with the old one.
    other = place.folder / "copy"
    other.write_bytes(place.state.read_bytes())
    Journal(other, place.folder, Output(writing))
    os.close(writing)
    assert os.read(reading, 100) == b"a: Shirt\na: Shirt\n"


def test_two_watchers_do_not_share_a_state(place: Place) -> None:
    first = place.journal()
    with pytest.raises(UsageError, match="another process watches"):
        place.journal()
    first.close()
    place.journal()


def test_the_state_of_another_folder_or_of_something_else_is_left_alone(place: Place) -> None:
    place.committed()
    with pytest.raises(UsageError, match="is the state of watching"):
        Journal(place.state, place.folder.parent, Output(1))
    place.state.write_text('{"my": "settings"}\n')
    with pytest.raises(UsageError, match="is no state of"):
        place.journal()
    assert json.loads(place.state.read_text()) == {"my": "settings"}


@pytest.mark.parametrize("line", [b"garbage\n", b"[]\n", b'{"files": 3, "rows": ""}\n', b'{"files": [[1]]}\n'])
def test_a_state_that_is_damaged_says_what_to_do(place: Place, line: bytes) -> None:
    lines = place.committed()
    place.state.write_bytes(lines[0] + line + b"".join(lines[1:]))
    with pytest.raises(FmnistEdgeError, match="move it away"):
        place.journal()


def test_a_state_that_cannot_be_written_is_one_clear_error(place: Place) -> None:
    with pytest.raises(OutputError, match="choose another place with --state"):
        Journal(place.rows / "below", place.folder, Output(1))
    with pytest.raises(UsageError, match="no file that can keep a state"):
        Journal(Path("/dev/null"), place.folder, Output(1))
