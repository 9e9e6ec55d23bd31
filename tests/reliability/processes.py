"""Running `fmnist-edge` and learning how much memory its process took at most."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


@contextmanager
def with_endless_list(paths: Sequence[str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give a `classify --files-from -` whose list never ends, in a session of its own: it ends on request alone."""
    command = [SCRIPT, "classify", "--files-from", "-", *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]

        def feed() -> None:
            with contextlib.suppress(BrokenPipeError):
                while True:
                    process.stdin.write("".join(f"{path}\n" for path in paths).encode())

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            yield process
        finally:
            process.kill()
            feeder.join()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


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
