"""`kill -9` at any moment: every file is the old one or the new one, whole, and the same command then succeeds."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.reliability.kills import Command, Harness, commands
from tests.reliability.records import write_record
from tests.runtime.conftest import Mirror

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills process groups, as POSIX has them")
SEED = 8
QUICK = {"classify --output": 4, "data fetch": 3, "deploy": 4}


def named(name: str, dataset: Path, mirror: Mirror) -> Command:
    return next(command for command in commands(dataset, mirror.url("good")) if command.name == name)


def killed(command: Command, folder: Path, kills: int) -> Harness:
    folder.mkdir(exist_ok=True)
    harness = Harness(command, folder, random.Random(f"{SEED} {command.name}"))
    harness.prepare()
    harness.kill(kills)
    return harness


@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize("name", QUICK)
def test_a_kill_leaves_old_or_new_files_and_the_command_runs_again(
    name: str, dataset: Path, mirror: Mirror, tmp_path: Path
) -> None:
    harness = killed(named(name, dataset, mirror), tmp_path, QUICK[name])
    assert harness.faults == []


@pytest.mark.stress
@pytest.mark.usefixtures("swept")
def test_two_hundred_kills_lose_nothing(dataset: Path, mirror: Mirror, tmp_path: Path) -> None:
    mirror.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of a client that was killed
    table = commands(dataset, mirror.url("good"))
    harnesses = [killed(command, tmp_path / str(row), command.kills) for row, command in enumerate(table)]
    faults = [fault for harness in harnesses for fault in harness.faults]
    write_record(
        "kills",
        {
            "order": 50,
            "what": "Commands ended by kill -9 at random moments, and run again",
            "tried": sum(harness.kills for harness in harnesses),
            "unit": "kills",
            "lost": len(faults),
            "seed": SEED,
            "found": {harness.command.name: harness.kills for harness in harnesses},
            "test": "tests/reliability/test_kills.py",
        },
    )
    assert faults == []
