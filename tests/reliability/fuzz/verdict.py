"""What an input may do: be answered, or refused by the one error meant for it; within two seconds and 200 MB."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MEGABYTES: Final = 200  # beside the hundred of code, models and what onnxruntime keeps: 300 in all
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


class MemoryHogError(Exception):
    """An input took too much memory."""


@contextmanager
def in_memory() -> Iterator[None]:
    """Raise MemoryHogError if the block takes more than MEGABYTES at its peak, where the system can tell (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is taken now (proc(5))
    except OSError:
        yield
        return
    before = _peak()
    yield
    taken = _peak() - before
    if taken > MEGABYTES:
        raise MemoryHogError(f"{taken:.0f} MB")


def _peak() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
