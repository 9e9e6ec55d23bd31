"""`fmnist-edge train`, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmnist_edge.dataset import load_split
from fmnist_train.backend import keras
from fmnist_train.record import read_record
from tests.reliability.twins import not_replaced
from tests.train.conftest import FILES, SHORT, Run


def test_it_writes_model_and_record_and_nothing_else(short_training: Any) -> None:
    folder, done = short_training
    assert {path.name for path in folder.iterdir()} == FILES
    assert all(str(folder / name) in done.stdout for name in FILES)


def test_it_replaces_older_files_whole(short_training: Any) -> None:
    folder, _ = short_training
    assert not_replaced(folder, folder.with_name(f"{folder.name}-twins")) == []


def test_the_record_says_what_was_done(short_training: Any) -> None:
    folder, _ = short_training
    record = json.loads((folder / "training.json").read_text())
    assert read_record(folder / "fmnist-mlp.keras") == record
    assert (record["recipe"], record["seed"]) == ("default", 3)
    assert (record["settings"]["epochs"], record["settings"]["batch_size"]) == (4, 2048)
    assert record["changed_settings"] == ["batch_size", "epochs"]
    assert record["network"]["parameters"] == 101_770
    assert record["images"] == {
        "train": [0, 55_000],
        "validation": [55_000, 60_000],
        "test": [0, 10_000],
        "test_evaluations": 1,
    }
    assert all(len(values) == 4 for values in record["history"].values())
    assert set(record["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(record["dataset"]["sha256"]) == 4
    assert set(record["versions"]) == {"python", "tensorflow", "keras", "numpy", "h5py"}


def test_the_figures_are_those_of_the_written_file(short_training: Any) -> None:
    folder, done = short_training
    record = json.loads((folder / "training.json").read_text())
    model = keras.models.load_model(folder / "fmnist-mlp.keras")
    for name in ("validation", "test"):
        split = load_split(name)  # type: ignore[arg-type]
        probabilities = model.predict(split.images, batch_size=1000, verbose=0)
        right = probabilities.argmax(axis=1) == split.labels
        assert record["accuracy"][name] == pytest.approx(right.mean(), abs=2e-4)
        assert f"{name} {record['accuracy'][name]:.4f}" in done.stdout
        loss = -np.log(probabilities[np.arange(len(right)), split.labels]).mean()
        assert record["negative_log_likelihood"][name] == pytest.approx(loss, abs=1e-5)
    assert record["accuracy"]["test"] > 0.7


def test_validation_sees_the_averaged_network_that_is_written(short_training: Any) -> None:
    record = json.loads((short_training[0] / "training.json").read_text())
    written = record["calibration"]["negative_log_likelihood_before"]["validation"]
    assert record["history"]["val_loss"][-1] == pytest.approx(written, abs=1e-5)


def test_the_temperature_lowers_the_validation_loss_and_no_accuracy(short_training: Any) -> None:
    record = json.loads((short_training[0] / "training.json").read_text())
    calibration = record["calibration"]
    assert abs(calibration["temperature"] - 1) > 0.01
    after = record["negative_log_likelihood"]["validation"]
    assert after < calibration["negative_log_likelihood_before"]["validation"]
    assert set(calibration["expected_calibration_error_before"]) == {"validation", "test"}


def test_progress_is_lines_without_a_terminal(short_training: Any) -> None:
    lines = short_training[1].stderr.splitlines()
    assert len(lines) == 4, lines  # and no greeting of TensorFlow's
    assert lines[-1].startswith("epoch 4/4: loss ")


def test_a_failed_training_leaves_the_old_files_alone(tmp_path: Path, run_train: Run) -> None:
    for name in FILES:
        (tmp_path / name).write_text("old")
    (tmp_path / "empty").mkdir()
    done = run_train(*SHORT, "--data", tmp_path / "empty", "-o", tmp_path, "--overwrite")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert {name: (tmp_path / name).read_text() for name in FILES} == dict.fromkeys(FILES, "old")


def test_files_that_it_did_not_write_and_the_data_are_not_overwritten(tmp_path: Path, run_train: Run) -> None:
    (tmp_path / "fmnist-mlp.keras").write_text("mine")
    done = run_train(*SHORT, "-o", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--overwrite" in done.stderr
    done = run_train(*SHORT, "--data", tmp_path, "-o", tmp_path / "out", "--overwrite")
    assert done.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["fmnist-mlp.keras"]


def test_a_folder_that_cannot_be_made_is_one_line_before_any_training(tmp_path: Path, run_train: Run) -> None:
    (tmp_path / "file").write_text("")
    done = run_train(*SHORT, "-o", tmp_path / "file" / "folder")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: cannot write to ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--recipe", "none"),
        ("--epochs", "0"),
        ("--batch-size", "0"),
        ("--seed", "-1"),
        ("--part", "hat"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: tuple[str, ...], tmp_path: Path, run_train: Run) -> None:
    assert run_train(*arguments, "-o", tmp_path).returncode == 2


def test_without_tensorflow_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.argv = ['fmnist-edge', 'train', '-o', sys.argv[1]]; "
        "from fmnist_edge.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "needs TensorFlow, which is not installed" in done.stderr
    assert "[train]" in done.stderr


def test_help_imports_neither_tensorflow_nor_numpy() -> None:
    code = (
        "import sys; sys.argv = ['fmnist-edge', 'train', '--help']\n"
        "from fmnist_edge.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_the_tutorial_recipe_uses_all_images_and_q_is_silent(tmp_path: Path, run_train: Run) -> None:
    done = run_train("--recipe", "tutorial", "--epochs", "1", "--batch-size", "1024", "-o", tmp_path, "-q")
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["images"]["train"] == [0, 60_000]
    assert set(record["accuracy"]) == {"train", "test"}
    assert record["calibration"]["temperature"] is None
    assert np.isfinite(record["history"]["loss"]).all()
    assert "temperature" not in done.stdout
