"""Interrupted trainings: killed for real, gone on with, and refused where they do not belong."""

import json
import os
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fmnist_edge.errors import UsageError
from fmnist_train.backup import Backup
from fmnist_train.fit import backup_for
from fmnist_train.recipes import DEFAULT, Recipe, named_recipe
from tests.train.conftest import COMMAND, SHORT, Run


def finished_epochs(snapshot: Path) -> int:
    if not snapshot.is_file():
        return 0
    with zipfile.ZipFile(snapshot) as archive:
        return len(json.loads(archive.read("history.json"))["loss"])


def kill_after_two_epochs(folder: Path) -> Backup:
    """Start the short training, kill -9 it once two epochs are done, and return what it left."""
    backup = backup_for(named_recipe("default", epochs=4, batch_size=2048), 3, folder)
    process = subprocess.Popen([COMMAND, "train", *SHORT, "-o", str(folder)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while finished_epochs(backup.snapshot) < 2:
            assert process.poll() is None, "the training ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    return backup


def test_a_killed_training_goes_on_to_the_very_same_bytes(tmp_path: Path, short_training: Any, run_train: Run) -> None:
    folder, _ = short_training
    backup = kill_after_two_epochs(tmp_path)
    left = finished_epochs(backup.snapshot)
    assert 2 <= left < 4
    assert not (tmp_path / "fmnist-mlp.keras").exists()
    for file in backup.working.iterdir():  # as if the kill had come while Keras wrote
        file.write_bytes(b"half")
    done = run_train(*SHORT, "-o", tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    assert f"epoch {left}/4" not in done.stderr
    assert "epoch 4/4" in done.stderr
    for name in ("fmnist-mlp.keras", "training.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert not backup.folder.exists()


@pytest.mark.parametrize(
    ("recipe", "seed", "named"),
    [
        (named_recipe("default", epochs=4, batch_size=2048), 4, "seed 3 instead of 4"),
        (named_recipe("default", batch_size=2048), 3, f"epochs 4 instead of {DEFAULT.epochs}"),
        (named_recipe("tutorial"), 3, "name default instead of tutorial"),
    ],
)
def test_a_backup_of_another_training_is_refused_and_kept(
    tmp_path: Path, recipe: Recipe, seed: int, named: str
) -> None:
    left = leave_backup(tmp_path)
    with pytest.raises(UsageError, match=named):
        backup_for(recipe, seed, tmp_path).restore()
    assert left.exists()


def test_the_command_refuses_a_backup_of_another_seed(tmp_path: Path, run_train: Run) -> None:
    leave_backup(tmp_path)
    done = run_train(*SHORT[:-1], "4", "-o", tmp_path, "--resume")
    assert done.returncode == 2
    assert "seed 3 instead of 4" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_resume_without_a_backup_is_refused(tmp_path: Path, run_train: Run) -> None:
    done = run_train(*SHORT, "-o", tmp_path, "--resume")
    assert done.returncode == 2
    assert "nothing to resume" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_backup_is_refused(tmp_path: Path) -> None:
    backup = leave_backup(tmp_path)
    backup.snapshot.write_bytes(backup.snapshot.read_bytes()[:60])
    with pytest.raises(UsageError, match="damaged"):
        backup.restore()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_second_training_shows_a_bar_discards_a_backup_and_gives_the_same_bytes(
    tmp_path: Path, short_training: Any
) -> None:
    folder, _ = short_training
    backup = leave_backup(tmp_path)
    leader, follower = os.openpty()
    words = [COMMAND, "train", *SHORT, "-o", str(tmp_path)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=follower, check=True)
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert "discarding the interrupted training" in shown
    assert "100%" in shown
    assert "epoch 4" not in shown
    assert b"100%" not in done.stdout
    assert not backup.folder.exists()
    for name in ("fmnist-mlp.keras", "training.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def leave_backup(folder: Path) -> Backup:
    """Leave what a training with the SHORT options leaves after an epoch, but for the weights."""
    backup = backup_for(named_recipe("default", epochs=4, batch_size=2048), 3, folder)
    backup.working.mkdir(parents=True)
    (backup.working / "training_metadata.json").write_text('{"epoch": 1, "batch": 0}')
    backup.save({"loss": [1.0]})
    return backup
