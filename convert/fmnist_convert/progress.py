"""How a long command tells what it is doing: steps with their times, and a bar where something is counted."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

from fmnist_edge.cli.options import terminal_columns

REFRESH: Final = 0.2  # seconds between two drawings
BAR_WIDTH: Final = 16


class Progress:
    """Takes notice of steps and counts, and shows nothing."""

    def step(self, title: str) -> None:
        """End the present step and begin another; `title` says what it does ("int8 on test images")."""

    def count(self, done: int, total: int) -> None:
        """Report that `done` of `total` images or tries of the present step are finished."""


SILENT: Final = Progress()


class Steps(Progress):
    """Prints a line with its time for each finished step on standard error, and draws the present one if asked to."""

    def __init__(self, *, drawing: bool) -> None:
        self._drawing = drawing
        self._title = ""
        self._began = 0.0
        self._count: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def step(self, title: str) -> None:
        """Print the present step with its time, and begin another; "" begins none."""
        with self._lock:
            if self._title:
                _write(f"{_CLEAR if self._drawing else ''}  {self._title}  {self._seconds()}\n")
            self._title, self._began, self._count = title, time.monotonic(), None
        self.draw()

    def count(self, done: int, total: int) -> None:
        """Remember how far the step is; the next drawing shows it."""
        self._count = (done, total)

    def draw(self) -> None:
        """Draw the present step over its own line, cut to the terminal's width."""
        with self._lock:
            if self._drawing and self._title:
                bar = "" if self._count is None else f"  {_bar(*self._count)}"
                after = f"{bar}  {self._seconds()}"
                line = f"  {self._title[: max(8, terminal_columns() - 3 - len(after))]}{after}"
                _write(f"{_CLEAR}{line[: terminal_columns() - 1]}")  # a longer one would scroll at each drawing

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"


_CLEAR: Final = "\r\x1b[K"


def _bar(done: int, total: int) -> str:
    filled = BAR_WIDTH * min(done, total) // max(total, 1)
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {done:,} of {total:,}"


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed standard error is no reason to fail
        if sys.stderr:
            sys.stderr.write(text)
            sys.stderr.flush()


@contextlib.contextmanager
def terminal_progress(drawing: bool, *, verbose: bool = False) -> Iterator[Progress]:
    """Yield what shows progress: drawn while it runs, a line a step with `verbose`, or nothing."""
    if not drawing and not verbose:
        yield SILENT
        return
    steps, ended = Steps(drawing=drawing), threading.Event()

    def keep_drawing() -> None:
        while not ended.wait(REFRESH):
            steps.draw()

    thread = threading.Thread(target=keep_drawing, name="progress", daemon=True)
    thread.start()
    try:
        yield steps
    finally:
        ended.set()
        thread.join()
        steps.step("")
