"""`kill -9` at any moment: every file is the old one or the new one, whole, and the same command then succeeds."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.reliability.kills import Command, Harness, commands
from tests.runtime.conftest import Mirror

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills process groups, as POSIX has them")
SEED = 8
NAMES = ("classify --output", "data fetch", "deploy", "evaluate --report", "train", "convert")
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
@pytest.mark.parametrize("name", NAMES)
def test_many_kills_lose_nothing(name: str, dataset: Path, mirror: Mirror, tmp_path: Path) -> None:
    mirror.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of a client that was killed
    command = named(name, dataset, mirror)
    harness = killed(command, tmp_path, command.kills)
    assert harness.faults == []
