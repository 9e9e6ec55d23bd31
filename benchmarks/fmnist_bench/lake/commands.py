"""Running the commands that are compared, each in a process of its own as a user would, with a clock beside it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

SCRIPT: Final = str(Path(sys.executable).with_name("fmnist-edge"))
_PART: Final = re.compile(r"part \d+: ([\d,]+) images?, \d+ failed, ([\d.]+) s, ([\d.]+) of them computing, ")


@dataclass(frozen=True)
class Timing:
    """How long a command took for how many images."""

    images: int
    seconds: float
    """Of the whole command, start and end included."""
    running_seconds: float
    """From the first worker's first image to the last part; of plain commands, of the whole command."""
    core_seconds: float = 0.0
    """What the workers computed, all their threads together; of plain commands not known."""

    @property
    def rate(self) -> float:
        """Images a second of the whole command."""
        return self.images / self.seconds

    @property
    def running_rate(self) -> float:
        """Images a second while the workers worked."""
        return self.images / self.running_seconds


class _Line(NamedTuple):
    """A line of standard error, and when it came."""

    text: str
    moment: float


def time_plain(folder: Path, images: int, output: Path, *options: str) -> Timing:
    """Time `classify -r` on a folder, its rows written to a file."""
    arguments = ["classify", "-q", "-r", "--format", "csv", "--output", str(output), *options, str(folder)]
    seconds, _ = _timed(arguments)
    return Timing(images, seconds, seconds)


def time_lake(source: str, images: int, destination: Path, workers: int) -> Timing:
    """Time `classify-lake` on a source, into a folder that is emptied first."""
    shutil.rmtree(destination, ignore_errors=True)
    seconds, said = _timed(["classify-lake", "-v", "--workers", str(workers), "--out", str(destination), source])
    parts = [(match, line.moment) for line in said if (match := _PART.match(line.text))]
    counted = sum(int(match[1].replace(",", "")) for match, _ in parts)
    if counted != images:
        raise RuntimeError(f"{counted} of {images} images were classified: {said}")
    begun = parts[0][1] - float(parts[0][0][2])
    return Timing(images, seconds, parts[-1][1] - begun, sum(float(match[3]) for match, _ in parts))


def offers_workers() -> bool:
    """Tell whether plain `classify` can use several processes in this version."""
    done = subprocess.run([SCRIPT, "classify", "--help"], capture_output=True, text=True, check=True)
    return "--workers" in done.stdout


def _timed(arguments: Sequence[str]) -> tuple[float, list[_Line]]:
    """Run a command; return its seconds and what it said on standard error. Raises RuntimeError if it fails."""
    begun = time.perf_counter()
    with subprocess.Popen([SCRIPT, *arguments], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = [_Line(line.rstrip("\n"), time.perf_counter()) for line in process.stderr]
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}: {said}")
    return time.perf_counter() - begun, said
