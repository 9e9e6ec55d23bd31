"""Ending commands without warning at random moments, and looking at what they leave.

Another command is one more row in `commands`: its arguments, and the files that it writes.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SCRIPT: Final = str(Path(sys.executable).with_name("fmnist-edge"))
ROOT: Final = Path(__file__).parents[2]
KERAS: Final = ROOT / "train" / "artifacts" / "fmnist-mlp.keras"
SAMPLES: Final = sorted(map(str, (ROOT / "samples").glob("*.png")))
_TIMEOUT: Final = 900  # seconds for a whole command on a very busy machine
_LOOK: Final = 0.0005  # seconds between looks at the folder, to kill soon after the first file appears
_SOON: Final = 0.03  # seconds: what comes after the first file


@dataclass(frozen=True)
class Command:
    """One way to write files."""

    name: str
    arguments: Callable[[Path], list[str]]
    """For the folder that it writes into."""
    kills: int
    """Of the long form."""
    environment: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    """Hidden folders that it may leave on purpose, to go on from."""
    before: Callable[[Path], list[str]] | None = None
    """What made the files that were there before; None where any files will do."""


def commands(dataset: Path, mirror: str) -> list[Command]:
    """Return the table; `mirror` is the URL of a server with the dataset's files."""
    data = {"FMNIST_DATA": str(dataset)}

    def deploy(out: Path) -> list[str]:
        return ["deploy", str(out)]

    return [
        Command(
            "classify --output",
            lambda out: ["classify", *SAMPLES * 200, "--output", f"{out}/rows.txt", "--overwrite"],
            50,
        ),
        Command(
            "data fetch",
            lambda out: ["data", "fetch", "--force", "--overwrite", "-o", str(out)],
            60,
            {"FMNIST_MIRRORS": mirror, "no_proxy": "127.0.0.1"},
        ),
        Command("deploy", deploy, 20, before=lambda out: [*deploy(out), "--reduced-ops"]),
        Command("evaluate --report", lambda out: ["evaluate", "--overwrite", "--report", str(out)], 40, data),
        Command(
            "train",
            lambda out: ["train", "--recipe", "tutorial", "--epochs", "1", "--overwrite", "-o", str(out)],
            20,
            data,
            (".fmnist-mlp.backup",),
        ),
        Command("convert", lambda out: ["convert", str(KERAS), "--overwrite", "-o", str(out)], 10, data),
    ]


@dataclass
class Harness:
    """Kills one command again and again in a folder of its own."""

    command: Command
    workplace: Path
    choice: random.Random
    kills: int = 0
    faults: list[str] = field(default_factory=list)
    """What was wrong after a kill; empty if nothing is ever lost."""
    new: dict[str, bytes] = field(default_factory=dict)
    """What the command writes, by path."""
    old: dict[str, bytes] = field(default_factory=dict)
    """What is there before it is killed."""
    seconds: float = 0.0
    """How long it takes undisturbed."""

    @property
    def out(self) -> Path:
        """The folder that the command writes into."""
        return self.workplace / "out"

    def prepare(self) -> None:
        """Run the command undisturbed, to know what it writes."""
        begun = time.monotonic()
        self.new = self._made_by(self.command.arguments)
        self.seconds = time.monotonic() - begun
        self.old = {name: f"old {name}\n".encode() * 100 for name in self.new}
        if self.command.before:
            self.old = self._made_by(self.command.before)
        assert self.old != self.new

    def kill(self, times: int) -> None:
        """Kill the command so often, each time over older files, and run it again."""
        for _ in range(20 * times):  # some end before the signal comes, and count for nothing
            if times <= 0:
                return
            self._lay_old_files()
            if self._killed():
                times, self.kills = times - 1, self.kills + 1
                self._judge()
                self._run_again()
        raise AssertionError(f"{self.command.name} ended too early too often to be killed")

    def _made_by(self, arguments: Callable[[Path], list[str]]) -> dict[str, bytes]:
        shutil.rmtree(self.out, ignore_errors=True)
        process = self._started(arguments)
        _, told = process.communicate(timeout=_TIMEOUT)
        assert process.returncode == 0, told.decode()
        return _files(self.out)

    def _started(self, arguments: Callable[[Path], list[str]] | None = None) -> subprocess.Popen[bytes]:
        scratch = self.workplace / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        environment = {**os.environ, **self.command.environment, "TMPDIR": str(scratch)}
        command = [SCRIPT, *(arguments or self.command.arguments)(self.out)]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, start_new_session=True
        )

    def _lay_old_files(self) -> None:
        """Lay files of an earlier run where the command will write."""
        shutil.rmtree(self.out, ignore_errors=True)
        for name, content in self.old.items():
            path = self.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _killed(self) -> bool:
        """Start the command and kill it: at any moment, or soon after its first file appeared."""
        process = self._started()
        if self.choice.random() < 0.5:
            begun = time.monotonic()
            deadline = begun + self.choice.uniform(0, self.seconds)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(min(0.005, self.seconds / 100))
            if process.poll() is not None:
                self.seconds = time.monotonic() - begun  # the machine is less busy than it was
        else:
            before = _looks(self.out)
            deadline = time.monotonic() + _TIMEOUT
            while process.poll() is None and _looks(self.out) == before and time.monotonic() < deadline:
                time.sleep(_LOOK)
            time.sleep(self.choice.uniform(0, _SOON if len(self.new) > 1 else 0))
        alive = process.poll() is None
        if alive:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=_TIMEOUT)
        return alive and process.returncode == -signal.SIGKILL

    def _judge(self) -> None:
        found = _files(self.out)
        if self.command.before and found not in (self.old, self.new):
            self.faults.append("the folder is neither the old nor the new one")
        for name in (self.old.keys() & self.new.keys()) - found.keys():
            self.faults.append(f"{name} is gone")
        for name, content in found.items():
            whole = (self.old.get(name), self.new.get(name))
            if content not in whole and not name.startswith((*self.command.own, ".fmnist-edge-")):
                self.faults.append(f"{name} is neither the old nor the new one")

    def _run_again(self) -> None:
        process = self._started()
        _, told = process.communicate(timeout=_TIMEOUT)
        if process.returncode:
            self.faults.append(f"run again, it fails: {told.decode().strip()}")
        elif _files(self.out) != self.new:
            self.faults.append("run again, it leaves something else")
        debris = {path.name for path in self.workplace.iterdir()} - {"out", "tmp"}
        if debris:
            self.faults.append(f"run again, it leaves {sorted(debris)}")


def _files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files, hidden ones too, by their path below the folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _looks(folder: Path) -> list[tuple[str, int, int]]:
    """Return what tells that a file was written: name, size and inode of each."""
    looks = []
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.stat(os.path.join(place, name))  # noqa: PTH116, PTH118 (thousands of times a second)
            except FileNotFoundError:
                continue
            looks.append((os.path.join(place, name), status.st_size, status.st_ino))  # noqa: PTH118
    return looks
