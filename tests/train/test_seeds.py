"""`fmnist-edge train --seeds`: several trainings, one choice, by validation images."""

import json
import re
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from fmnist_train.fit import chosen_seed, seed_figures
from fmnist_train.record import Training
from tests.train.conftest import Run

SHORT_SEEDS = ("--seeds", "2", "--seed", "5", "--epochs", "2", "--batch-size", "2048")
NAMES = ("fmnist-mlp.keras", "training.json")


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory, run_train: Run) -> Any:
    folder = tmp_path_factory.mktemp("seeds")
    done = run_train(*SHORT_SEEDS, "-o", folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def record_of(folder: Path) -> Any:
    return json.loads((folder / "training.json").read_text())


def test_the_best_seed_on_validation_images_is_copied_out_of_its_folder(two_seeds: Any) -> None:
    folder, _ = two_seeds
    assert {path.name for path in folder.iterdir()} == {"seed-5", "seed-6", "seeds.json", *NAMES}
    assert not list(folder.rglob(".*"))
    records = {seed: record_of(folder / f"seed-{seed}") for seed in (5, 6)}
    assert {seed: record["seed"] for seed, record in records.items()} == {5: 5, 6: 6}
    best = max(records, key=lambda seed: records[seed]["accuracy"]["validation"])
    contents = [(folder / f"seed-{seed}" / "fmnist-mlp.keras").read_bytes() for seed in (5, 6)]
    assert contents[0] != contents[1]
    assert (folder / "fmnist-mlp.keras").read_bytes() == contents[best - 5]
    assert record_of(folder)["seed"] == best


def test_the_figures_are_those_of_the_records(two_seeds: Any) -> None:
    folder, done = two_seeds
    figures = json.loads((folder / "seeds.json").read_text())
    accuracies = [record_of(folder / f"seed-{seed}")["accuracy"] for seed in (5, 6)]
    tests = [one["test"] for one in accuracies]
    assert [row["validation"] for row in figures["seeds"]] == [one["validation"] for one in accuracies]
    assert figures["mean"]["test"] == pytest.approx(mean(tests), abs=1e-5)
    assert figures["standard_deviation"]["test"] == pytest.approx(stdev(tests), abs=1e-5)
    assert figures["test_evaluations"] == 2
    assert re.search(r"^mean .* 0\.\d{4}$", done.stdout, re.MULTILINE)
    assert re.search(rf"^seed {figures['chosen_seed']} .*<- chosen$", done.stdout, re.MULTILINE)


def test_progress_names_the_seeds(two_seeds: Any) -> None:
    lines = two_seeds[1].stderr.splitlines()
    assert [line for line in lines if line.startswith("seed ")] == ["seed 5", "seed 6"]


def test_resume_keeps_finished_seeds(two_seeds: Any, run_train: Run) -> None:
    folder, first = two_seeds
    again = run_train(*SHORT_SEEDS, "-o", folder, "--resume")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == first.stdout


def test_test_images_choose_nothing_and_the_first_of_equals_is_taken() -> None:
    def training(seed: int, validation: float, test: float) -> Training:
        return Training({"seed": seed, "accuracy": {"validation": validation, "test": test}}, ())

    one, two = training(0, 0.9, 0.95), training(1, 0.91, 0.8)
    assert chosen_seed([one, two]) is two
    assert chosen_seed([one, training(1, 0.9, 0.99)]) is one
    assert seed_figures([one, two])["chosen_seed"] == 1


@pytest.mark.parametrize("other", [("--part", "photo"), ("--recipe", "tutorial")])
def test_seeds_without_validation_images_or_a_classifier_is_refused(
    other: tuple[str, ...], tmp_path: Path, run_train: Run
) -> None:
    assert run_train(*other, "--seeds", "2", "-o", tmp_path).returncode == 2
