"""What an input may do: be answered, or be refused by the one error that is meant for it; within two seconds."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SECONDS: Final = 2.0  # of this process's processor time, which no other process on the machine can use up


class HangError(Exception):
    """An input took too long."""


@contextmanager
def in_time() -> Iterator[None]:
    """Raise HangError if the block takes more than SECONDS of processor time."""
    begun = time.process_time()
    yield
    taken = time.process_time() - begun
    if taken > SECONDS:
        raise HangError(f"{taken:.1f} s")


def raise_on_alarm() -> None:
    """Let what never comes back become an error as well."""

    def ring(*_: object) -> None:
        raise HangError("no end")

    signal.signal(signal.SIGVTALRM, ring)
