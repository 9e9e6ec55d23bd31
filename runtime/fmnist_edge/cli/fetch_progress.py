"""How a fetch looks: a progress bar per file on a terminal, a line per step otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from fmnist_edge.cli.options import is_verbose, note, shows_progress
from fmnist_edge.data.fetch_listener import FetchListener


@contextmanager
def shown_fetch() -> Iterator[FetchListener]:
    """Give a listener that shows a fetch on standard error, and end its last bar however it ends."""
    listener = _Shown(shows_progress(), is_verbose())
    try:
        yield listener
    finally:
        listener.end_bar()


class _Shown(FetchListener):
    def __init__(self, bars: bool, verbose: bool) -> None:
        self._bars = bars
        self._verbose = verbose
        self._name = ""
        self._bar: Any = None  # click's ProgressBar, whose type is not public

    def step(self, message: str) -> None:
        self.end_bar()
        note(message)

    def detail(self, message: str) -> None:
        if self._verbose:
            self.step(message)

    def received(self, name: str, so_far: int, total: int | None) -> None:
        if not self._bars or total is None:
            return
        if self._bar is None or name != self._name:
            self._begin_bar(name, total)
        self._bar.update(so_far - self._bar.pos)

    def _begin_bar(self, name: str, total: int) -> None:
        self.end_bar()
        self._name = name
        bar: Any = click.progressbar(length=total, label=name, file=sys.stderr)
        self._bar = bar.__enter__()

    def end_bar(self) -> None:
        """Leave the line of the bar, if there is one."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
