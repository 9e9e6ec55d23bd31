"""Ending on request: Ctrl-C and a polite kill end a long run at once, but not between what belongs together."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class Interruption:
    """While entered, SIGINT and SIGTERM raise KeyboardInterrupt; inside `held`, at its end, but for a second one."""

    def __init__(self) -> None:
        self._held = False
        self._wanted = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put an interrupt off until the block is through."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._wanted:
            raise KeyboardInterrupt

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        again, self._wanted = self._wanted, True
        if again or not self._held:
            raise KeyboardInterrupt
