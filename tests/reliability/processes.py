"""Running `fmnist-edge` and learning how much memory its process took at most."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

SCRIPT: Final = str(Path(sys.executable).with_name("fmnist-edge"))
# A process counts what its parent had when it was begun as its own peak: so one that has nothing begins it.
_BETWEEN: Final = """
import os, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
os.write(int(sys.argv[1]), str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss).encode())
sys.exit(code)
"""


class Done(NamedTuple):
    """How a process ended."""

    code: int
    output: bytes
    told: bytes
    peak_mb: float
    """The most memory that it had at once, in millions of bytes."""


def run(*arguments: str) -> Done:
    """Run the command line and wait for it."""
    reading, writing = os.pipe()
    command = [sys.executable, "-S", "-E", "-c", _BETWEEN, str(writing), SCRIPT, *arguments]
    done = subprocess.run(command, capture_output=True, pass_fds=[writing])
    os.close(writing)
    with os.fdopen(reading) as pipe:
        peak = int(pipe.read())
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, KiB elsewhere
    return Done(done.returncode, done.stdout, done.stderr, peak * unit / 1e6)
