"""Real trainings, short ones, by the installed command: made once for all tests of this room."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.twins import lay_old_files

COMMAND = str(Path(sys.executable).parent / "fmnist-edge")
SHORT = ("--epochs", "4", "--batch-size", "2048", "--seed", "3")  # of the default recipe: some seconds
FILES = {"fmnist-mlp.keras", "training.json"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def run_train() -> Run:
    """Return a function that runs `fmnist-edge train` with its arguments, as a user would."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [COMMAND, "train", *(str(argument) for argument in arguments)]
        return subprocess.run(words, capture_output=True, text=True, timeout=3600, check=False)

    return run


@pytest.fixture(scope="session")
def short_training(tmp_path_factory: pytest.TempPathFactory, run_train: Run) -> Any:
    """Return folder and finished process of a short, uninterrupted training, into a folder with older files."""
    folder = tmp_path_factory.mktemp("short")
    lay_old_files(folder, folder.with_name(f"{folder.name}-twins"), FILES)
    done = run_train(*SHORT, "-o", folder, "--overwrite")
    assert done.returncode == 0, done.stderr
    return folder, done
