"""The commands in processes of their own, and what must be equal of their results."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import dataset, fs

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
_DONE = re.compile(r"part (\d+): .* process (\d+) on ")


@dataclass(frozen=True)
class PartLine:
    """What -v tells of a part that is done."""

    part: int
    process: int


class LakeRun:
    """A run of `classify-lake -v --workers 2`; its standard error is read as it comes."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        command = [SCRIPT, "classify-lake", "-v", "--workers", "2", *arguments]
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment(**variables)
        )

    def __enter__(self) -> LakeRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr
        self.process.stderr.close()

    def parts(self) -> Iterator[PartLine]:
        """Yield the parts as they are done, until the command ends."""
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            found = _DONE.match(line)
            if found:
                yield PartLine(int(found[1]), int(found[2]))

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        list(self.parts())
        return self.process.wait()


def ended(run: LakeRun) -> tuple[int, list[str]]:
    """Return the exit code of a run and what it said."""
    with run:
        return run.end(), run.lines


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a user who waits for no cloud to offer credentials."""
    return os.environ | {"AWS_EC2_METADATA_DISABLED": "true"} | variables


def lake_rows(folder: str, filesystem: fs.FileSystem | None = None) -> list[dict[str, Any]]:
    """Return all rows of a run's results."""
    rows: list[dict[str, Any]] = dataset.dataset(folder, filesystem=filesystem, format="parquet").to_table().to_pylist()
    return rows


def plain_rows(folder: Path) -> dict[str, dict[str, str]]:
    """Return the rows that `classify -r --format csv` prints, by path."""
    command = [SCRIPT, "classify", "-r", "--format", "csv", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return {row["path"]: row for row in csv.DictReader(done.stdout.splitlines())}


def assert_same_rows(found: list[dict[str, Any]], plain: dict[str, dict[str, str]], moved: tuple[str, str]) -> None:
    """Assert that a lake's rows are those of `classify`, each once, but for the beginning of their paths."""
    assert sorted(row["path"] for row in found) == sorted(path.replace(*moved, 1) for path in plain)
    by_path = {row["path"]: row for row in found}
    for path, row in plain.items():
        other = by_path[path.replace(*moved, 1)]
        assert {name: "" if other[name] is None else str(other[name]) for name in row} == row | {"path": other["path"]}


def parent_of(process: int) -> int:
    """Return a process's parent: of a worker, the daemon of its cluster on this machine."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def command_of(process: int) -> str:
    """Return a process's command line."""
    return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
