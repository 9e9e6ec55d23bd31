"""`fmnist-edge train --seeds`: several trainings, one choice, by validation images."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from click.testing import CliRunner

from fmnist_convert import pipeline
from fmnist_convert.network import Network
from fmnist_convert.quantize import CALIBRATION, CHOICE, Quantized, best_rounding
from fmnist_convert.seeds import SeedResult, chosen, seed_facts
from fmnist_edge.classifier import Classifier
from fmnist_edge.cli.main import cli
from fmnist_edge.dataset import load_split
from tests.train.conftest import Run

SHORT_SEEDS = ("--seeds", "2", "--seed", "5", "--epochs", "2", "--batch-size", "2048")


@pytest.fixture(scope="module")
def run_quickly() -> Iterator[Run]:
    """Return a function that runs `train` in this process, its conversions without the refinement that takes long."""

    def rounded(network: Network, images: Any) -> Quantized:
        return best_rounding(network, images[CALIBRATION], images[CHOICE])

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = ["train", *map(str, arguments)]
        done = CliRunner().invoke(cli, words)
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "quantize", rounded)
        yield run


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory, run_quickly: Run) -> Any:
    folder = tmp_path_factory.mktemp("seeds")
    done = run_quickly(*SHORT_SEEDS, "-o", folder)
    assert done.returncode in (0, 1), done.stderr  # such short trainings may fail the parity gate
    return folder, done


def test_each_seed_has_a_folder_with_its_files_and_nothing_else_is_left(two_seeds: Any) -> None:
    folder, _ = two_seeds
    assert {path.name for path in folder.iterdir()} >= {"seed-5", "seed-6", "seeds.json"}
    assert not list(folder.rglob(".*"))
    for seed in (5, 6):
        record = json.loads((folder / f"seed-{seed}" / "training.json").read_text())
        assert record["seed"] == seed
        assert (folder / f"seed-{seed}" / "fmnist-mlp.int8.onnx").is_file()
    assert (folder / "seed-5" / "fmnist-mlp.keras").read_bytes() != (
        folder / "seed-6" / "fmnist-mlp.keras"
    ).read_bytes()


def test_progress_names_the_seeds(two_seeds: Any) -> None:
    lines = two_seeds[1].stderr.splitlines()
    assert [line for line in lines if line.startswith("seed ")] == ["seed 5", "seed 6"]


def test_the_figures_are_those_of_the_int8_files(two_seeds: Any) -> None:
    folder, done = two_seeds
    facts = json.loads((folder / "seeds.json").read_text())
    validation = load_split("validation")
    for row in facts["seeds"]:
        model = Classifier(folder / f"seed-{row['seed']}" / "fmnist-mlp.int8.onnx")
        right = model.predict(validation.images).argmax(axis=1) == validation.labels
        assert row["validation"] == pytest.approx(right.mean(), abs=5e-5)
    tests = [row["test"] for row in facts["seeds"]]
    assert facts["mean"]["test"] == pytest.approx(mean(tests), abs=1e-5)
    assert facts["standard_deviation"]["test"] == pytest.approx(stdev(tests), abs=1e-5)
    assert facts["test_evaluations"] == 2
    assert re.search(r"^mean .* 0\.\d{4} ", done.stdout, re.MULTILINE)
    assert re.search(r"^deviation ", done.stdout, re.MULTILINE)


def test_resume_keeps_finished_seeds(two_seeds: Any, run_quickly: Run) -> None:
    folder, first = two_seeds
    again = run_quickly(*SHORT_SEEDS, "-o", folder, "--resume")
    assert again.returncode == first.returncode
    assert "epoch" not in again.stderr
    assert again.stdout == first.stdout


def test_the_best_on_validation_images_is_chosen_whatever_the_test_images_say() -> None:
    one = SeedResult(seed=0, folder=Path("a"), validation=0.9, test=0.95, keras_test=0.95, agreement=1.0, broken=())
    two = replace(one, seed=1, validation=0.91, test=0.8)
    unsound = replace(one, seed=2, validation=0.99, broken=("int8: too far",))
    assert chosen([one, two, unsound]) == two
    assert chosen([one, replace(two, validation=0.9)]) == one
    assert chosen([unsound]) is None
    facts = seed_facts([one, two])
    assert facts["chosen_seed"] == 1
    assert facts["mean"]["validation"] == pytest.approx(0.905)


def test_seeds_is_refused_for_other_parts(tmp_path: Path, run_train: Run) -> None:
    done = run_train("--part", "segmenter", "--seeds", "2", "-o", tmp_path)
    assert done.returncode == 2
    assert "--seeds has no effect" in done.stderr
