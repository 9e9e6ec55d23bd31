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
    """Hears of steps and counts, and does nothing with them."""

    def step(self, title: str) -> None:
        """Begin a step, and so end the one before; `title` is what it does ("measuring on 10,000 test images")."""

    def count(self, done: int, total: int) -> None:
        """Say how far the present step is: `done` of `total` images or tries."""


SILENT: Final = Progress()


class Steps(Progress):
    """Prints a line for each finished step, with its time, on standard error; draws the present one if asked to."""

    def __init__(self, *, drawing: bool) -> None:
        self._drawing = drawing
        self._title = ""
        self._began = 0.0
        self._count: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def step(self, title: str) -> None:
        """End the present step with a line, and begin another."""
        with self._lock:
            self._end()
            self._title, self._began, self._count = title, time.monotonic(), None
        self.draw()

    def count(self, done: int, total: int) -> None:
        """Remember how far the step is; the next drawing shows it."""
        self._count = (done, total)

    def finish(self) -> None:
        """End the last step."""
        with self._lock:
            self._end()
            self._title = ""

    def draw(self) -> None:
        """Draw the present step over its own line."""
        with self._lock:
            if self._drawing and self._title:
                bar = "" if self._count is None else f"  {_bar(*self._count)}"
                line = f"  {self._title}{bar}  {time.monotonic() - self._began:.1f} s"
                _write(f"\r\x1b[K{line[: terminal_columns() - 1]}")  # a longer one would scroll at each drawing

    def _end(self) -> None:
        if self._title:
            start = "\r\x1b[K" if self._drawing else ""
            _write(f"{start}  {self._title}  {time.monotonic() - self._began:.1f} s\n")


def _bar(done: int, total: int) -> str:
    filled = BAR_WIDTH * min(done, total) // max(total, 1)
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {done:,} of {total:,}"


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed standard error is no reason to fail
        if sys.stderr:
            sys.stderr.write(text)
            sys.stderr.flush()


@contextlib.contextmanager
def terminal_progress(on_terminal: bool, *, verbose: bool = False) -> Iterator[Progress]:
    """Give a Progress: drawn on a terminal, as lines elsewhere if `verbose`, else silent.

    A thread draws, so that a long step is seen to go on.
    """
    if not on_terminal and not verbose:
        yield SILENT
        return
    steps, ended = Steps(drawing=on_terminal), threading.Event()

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
        steps.finish()
