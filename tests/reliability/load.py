"""Many images through one process, watched from outside: what it answers, and how much memory it has meanwhile."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import PIL.Image

from fmnist_edge.dataset import load_split
from tests.reliability.dropping import PHOTOS
from tests.reliability.processes import SCRIPT
from tests.runtime.pictures import encoded

FLAT_MB: Final = 2.0  # by how much the memory may grow ...
WARM: Final = 0.1  # ... after the first tenth of a run


@dataclass
class Run:
    """One `classify --files-from -`."""

    rows: int = 0
    different: int = 0
    """Rows that say something else than the first row for the same file."""
    first: dict[str, Any] = field(default_factory=dict)
    """The first record of each file."""
    memory: list[tuple[int, float]] = field(default_factory=list)
    """(rows so far, millions of bytes that the process has)."""
    code: int = -1

    def growth_mb(self) -> float:
        """Return by how much the memory grew after the first tenth."""
        warm = [taken for rows, taken in self.memory if rows >= WARM * self.rows]
        return max(warm) - warm[0]


def write_images(folder: Path, count: int) -> list[Path]:
    """Write images of the test split as PNG files."""
    paths = [folder / f"{number:05d}.png" for number in range(count)]
    for path, image in zip(paths, load_split("test").images, strict=False):
        path.write_bytes(encoded(PIL.Image.fromarray(image)))
    return paths


def mixed(images: list[Path], broken: Path, total: int, photo_every: int, broken_every: int) -> Iterator[Path]:
    """Yield paths: images again and again, a photo and a file that is none now and then."""
    for number in range(total):
        if number % photo_every == photo_every - 1:
            yield PHOTOS[number // photo_every % len(PHOTOS)]
        elif number % broken_every == broken_every // 2:
            yield broken
        else:
            yield images[number % len(images)]


def run_list(paths: Iterable[Path | str], total: int, samples: int = 200) -> Run:
    """Classify a list that is fed as it is read, and look at the memory now and then."""
    run = Run()
    command = [SCRIPT, "classify", "--files-from", "-", "--format", "jsonl", "-q"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        feeder = threading.Thread(target=_feed, args=(process.stdin, paths))
        feeder.start()
        every = max(1, total // samples)
        texts: dict[str, bytes] = {}
        for line in process.stdout:
            run.rows += 1
            record = json.loads(line)
            same = texts.setdefault(record["path"], line)
            run.different += same != line
            run.first.setdefault(record["path"], record)
            if run.rows % every == 0 and (taken := _resident_mb(process.pid)) is not None:
                run.memory.append((run.rows, taken))
        feeder.join()
        run.code = process.wait(timeout=60)
    return run


def _feed(stream: IO[bytes], paths: Iterable[Path | str]) -> None:
    for path in paths:
        stream.write(f"{path}\n".encode())
    stream.close()


def _resident_mb(process: int) -> float | None:
    """Return what a process has; None if it has ended, while its last rows are still in the pipe."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024 / 1e6
    return None
