"""`convert` as a person uses it: the model of the Keras tutorial, what is written, and what is refused first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from fmnist_edge.cli.main import cli
from fmnist_edge.dataset import load_split

from .conftest import SHIPPED_KERAS
from .zoo import network


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do what the Keras tutorial on basic classification does, with an epoch on fewer images: fit, and save."""
    import keras

    keras.utils.set_random_seed(1)
    split = load_split("train")
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    model.fit(split.images[:20_000] / 255.0, split.labels[:20_000], epochs=1, verbose=0)
    path = tmp_path_factory.mktemp("tutorial") / "model.keras"
    model.save(path)
    return path


def test_the_model_of_the_tutorial_converts_and_answers_as_it_did(tutorial: Path, tmp_path: Path) -> None:
    import keras

    done = CliRunner().invoke(cli, ["convert", str(tutorial), "-o", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "input form 0..1 as float32 [batch, 28, 28] (measured)" in done.stderr
    facts = json.loads((tmp_path / "model.int8.json").read_text())
    assert facts["input_form"]["form"] == "0..1"
    assert "refinement" not in facts["quantization"]  # rounding alone held the limits, in a tenth of the time
    images = load_split("test").images
    logits = keras.saving.load_model(tutorial)(images / np.float32(255), training=False).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "model.int8.onnx")
    found = session.run(["probabilities"], {"image": images})[0]
    assert (found.argmax(axis=1) == logits.argmax(axis=1)).mean() >= 0.985
    assert np.abs(found.sum(axis=1) - 1).max() <= 1e-5


def test_a_convolutional_network_converts_and_compares_with_its_file(tmp_path: Path) -> None:
    network("cnn").model.save(tmp_path / "cnn.h5")
    done = CliRunner().invoke(cli, ["convert", str(tmp_path / "cnn.h5"), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    int8 = tmp_path / "out" / "cnn.int8.onnx"
    compared = CliRunner().invoke(
        cli, ["compare", str(tmp_path / "cnn.h5"), str(int8), "--min-agreement", "0.985", "--format", "json"]
    )
    assert compared.exit_code == 0, compared.output
    figures = json.loads(compared.stdout)
    assert (figures["first_input_form"], figures["second_input_form"]) == ("0..1", "0..255")
    assert figures["agreement"] >= 0.985
    assert abs(figures["second_calibration_error"] - figures["first_calibration_error"]) <= 0.01


def test_an_output_of_another_tool_is_not_overwritten(tmp_path: Path) -> None:
    other = tmp_path / "fmnist-mlp.int8.json"
    other.write_text('{"mine": 1}')
    done = CliRunner().invoke(cli, ["convert", str(SHIPPED_KERAS), "-o", str(tmp_path)])
    assert done.exit_code == 2
    assert "--overwrite" in done.stderr
    assert other.read_text() == '{"mine": 1}'


@pytest.mark.parametrize(
    "options", [["--pictures", "."], ["--input-form", "0..2"], ["--name", "../evil"]], ids=lambda o: o[0]
)
def test_options_without_effect_or_meaning_are_usage_errors(tmp_path: Path, options: list[str]) -> None:
    done = CliRunner().invoke(cli, ["convert", str(SHIPPED_KERAS), "-o", str(tmp_path / "out"), *options])
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()
