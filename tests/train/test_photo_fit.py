"""`fmnist-edge train --part photo`, as a user runs it on a folder of their own pictures."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fmnist_edge.model_info import LABELS
from fmnist_edge.pictures import accepted_matrix, hold_out, load_squares, read_collections
from fmnist_train.backend import keras
from fmnist_train.photo_fit import CosineCycles
from fmnist_train.recipes import PHOTO
from fmnist_train.record import read_record
from tests.train.conftest import COMMAND, Run

FILES = {"fmnist-photo.keras", "fmnist-photo.training.json"}
SHORT = ("--part", "photo", "--epochs", "1", "--batch-size", "16", "--seed", "2")
OF_EACH = 48


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a folder for each class: a shape of its own colour on white or grey; and some of none."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for number in range(len(LABELS) + 1):
        kind = folder / (str(number) if number < len(LABELS) else "none")
        kind.mkdir()
        for index in range(OF_EACH):
            image = Image.new("RGB", (48, 64), "white" if index % 2 else (90, 100, 110))
            left, top = rng.integers(4, 14, 2).tolist()
            color = tuple(int(one) for one in np.array([number * 23, 230 - number * 20, number * 97 % 200]))
            draw = ImageDraw.Draw(image)
            (draw.ellipse if number % 2 else draw.rectangle)((left, top, left + 28, top + 40), fill=color)
            image.save(kind / f"{'abc'[index % 3]}{index}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, collection: Path, run_train: Run) -> Any:
    output = tmp_path_factory.mktemp("photo")
    done = run_train(*SHORT, "--pictures", collection, "-o", output)
    assert done.returncode == 0, done.stderr
    return output, done


def test_it_writes_model_and_record_and_nothing_else(trained: Any) -> None:
    output, done = trained
    assert {path.name for path in output.iterdir()} == FILES
    assert all(str(output / name) in done.stdout for name in FILES)
    record = json.loads((output / "fmnist-photo.training.json").read_text())
    assert read_record(output / "fmnist-photo.keras") == record
    assert (record["recipe"], record["seed"]) == ("photo", 2)
    assert ([cycle["epochs"] for cycle in record["settings"]["cycles"]], record["settings"]["batch_size"]) == ([1], 16)
    assert [row["pictures"] for row in record["training_data"]] == [11 * OF_EACH]
    assert set(record["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_plain_keras_loads_the_file_and_it_keeps_its_contract(trained: Any) -> None:
    model = keras.models.load_model(trained[0] / "fmnist-photo.keras")
    assert model.inputs[0].dtype == "uint8"
    assert model.input_shape == (None, PHOTO.side, PHOTO.side, 3)
    assert [type(layer).__name__ for layer in model.layers[-3:]] == ["GlobalAveragePooling2D", "Dropout", "Dense"]
    assert model.count_params() < 380_000
    probabilities = model.predict(np.zeros((2, PHOTO.side, PHOTO.side, 3), np.uint8), verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_figures_are_those_of_the_written_file_on_pictures_held_out(trained: Any, collection: Path) -> None:
    output, done = trained
    record = read_record(output / "fmnist-photo.keras")
    _, out = hold_out(read_collections([collection], "train"), PHOTO.held_out)
    accepted = accepted_matrix(out)
    model = keras.models.load_model(output / "fmnist-photo.keras")
    probabilities = model.predict(load_squares(out, PHOTO.side), verbose=0)
    garments = accepted.max(axis=1) > 0
    right = accepted[np.arange(len(out)), probabilities.argmax(axis=1)] > 0
    answered = probabilities.max(axis=1) >= record["unsure_below"]
    figures = record["held_out"]["collections"][collection.name]
    assert (record["held_out"]["pictures"], figures["garments"]) == (len(out), garments.sum())
    assert record["accuracy"]["held_out"] == pytest.approx(right[garments].mean(), abs=1e-4)
    assert figures["answered"] == pytest.approx(answered[garments].mean(), abs=0.02)
    assert figures["no_garment_unsure"] == pytest.approx(1 - answered[~garments].mean(), abs=0.02)
    assert f"unsure below {record['unsure_below']:.4f}" in done.stdout


def test_a_few_steps_learn_shapes_and_colours(trained: Any) -> None:
    record = read_record(trained[0] / "fmnist-photo.keras")
    assert record["accuracy"]["held_out"] > 0.3  # ten classes


def test_pictures_that_lack_a_class_are_refused_before_anything_is_trained(tmp_path: Path, run_train: Run) -> None:
    (tmp_path / "own/Bag").mkdir(parents=True)
    Image.new("RGB", (30, 30)).save(tmp_path / "own/Bag/a.png")
    done = run_train(*SHORT, "--pictures", tmp_path / "own", "-o", tmp_path / "out")
    assert done.returncode == 3
    assert "no T-shirt/top" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_of_somebody_elses_is_not_overwritten(tmp_path: Path, collection: Path, run_train: Run) -> None:
    (tmp_path / "fmnist-photo.keras").write_text("mine")
    done = run_train(*SHORT, "--pictures", collection, "-o", tmp_path)
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert (tmp_path / "fmnist-photo.keras").read_text() == "mine"


def test_output_among_the_pictures_is_refused(collection: Path, run_train: Run) -> None:
    assert run_train(*SHORT, "--pictures", collection, "-o", collection / "out").returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [("--part", "photo", "--recipe", "tutorial"), ("--pictures", "."), ("--photos", ".")],
)
def test_options_without_effect_are_usage_errors(arguments: tuple[str, ...], tmp_path: Path, run_train: Run) -> None:
    done = run_train(*arguments, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "has no effect" in done.stderr


def test_a_killed_training_goes_on_after_its_last_finished_epoch(
    tmp_path: Path, collection: Path, run_train: Run
) -> None:
    two = ("--part", "photo", "--epochs", "2", "--batch-size", "16", "--pictures", collection, "-o", tmp_path)
    process = subprocess.Popen([COMMAND, "train", *map(str, two)], stderr=subprocess.DEVNULL)
    snapshot = tmp_path / ".fmnist-photo.backup" / "last-epoch.zip"
    while not snapshot.is_file():
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "fmnist-photo.keras").exists()
    done = run_train(*two, "--resume")
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "fmnist-photo.keras")
    assert len(record["history"]["loss"]) == 2
    assert record["history"]["loss"][1] < record["history"]["loss"][0]
    assert {path.name for path in tmp_path.iterdir()} == FILES


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_an_interrupt_before_the_first_epoch_keeps_nothing_and_advises_no_resume(
    tmp_path: Path, collection: Path
) -> None:
    """The bar of a terminal tells when the first step is done; the interrupt comes then."""
    leader, follower = os.openpty()
    slow = ("--part", "photo", "--batch-size", "256")  # an epoch takes half a minute
    words = [COMMAND, "train", *slow, "--pictures", str(collection), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    shown = b""
    try:
        while b"loss" not in shown:
            shown += os.read(leader, 4096)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                shown += os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
        process.wait(600)
    finally:
        process.kill()
        os.close(leader)
    assert b"nothing was kept" in shown
    assert b"--resume" not in shown
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_the_learning_rate_climbs_and_falls_once_a_cycle() -> None:
    rate = CosineCycles([(100, 4.0), (50, 2.0)])
    rates = np.array([float(rate(step)) for step in range(150)])
    assert (rates[:100].argmax(), rates[100:].argmax()) == (5, 2)
    assert rates[:100].max() == pytest.approx(4)
    assert rates[100:].max() == pytest.approx(2)
    assert rates[99] < 0.01 > rates[149]
    assert np.all(np.diff(rates[5:100]) < 0)
