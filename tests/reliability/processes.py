"""Running `fmnist-edge` and learning how much memory its process took at most."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

SCRIPT: Final = str(Path(sys.executable).with_name("fmnist-edge"))


class Done(NamedTuple):
    """How a process ended."""

    code: int
    output: bytes
    told: bytes
    peak_mb: float
    """The most memory that it had at once, in millions of bytes."""


def run(*arguments: str) -> Done:
    """Run the command line and wait for it."""
    with subprocess.Popen([SCRIPT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        output, told = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, KiB elsewhere
    return Done(process.returncode, output, told, usage.ru_maxrss * unit / 1e6)
