from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fmnist_edge.dataset import Split
from fmnist_train import ablation
from fmnist_train.ablation import VARIANTS, kept, study_page
from fmnist_train.fitting import TrainingData
from fmnist_train.recipes import DEFAULT

SHORT = replace(DEFAULT, epochs=1, batch_size=16)


@pytest.fixture
def few() -> TrainingData:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (48, 28, 28)).astype(np.uint8)
    labels = (np.arange(48) % 10).astype(np.uint8)
    return TrainingData(Split(images[:32], labels[:32]), Split(images[32:], labels[32:]))


def test_every_variant_keeps_validation_images_and_differs_from_the_others() -> None:
    assert all(recipe.validation for recipe in VARIANTS.values())
    assert len({repr(recipe) for recipe in VARIANTS.values()}) == len(VARIANTS)


def test_what_was_measured_is_not_trained_again(few: TrainingData, tmp_path: Path) -> None:
    first = kept(SHORT, 1, few, tmp_path)
    assert 0 <= first["accuracy"] <= 1
    files = sorted(tmp_path.iterdir())
    before = [file.stat().st_mtime_ns for file in files]
    assert kept(SHORT, 1, few, tmp_path) == first
    assert [file.stat().st_mtime_ns for file in files] == before
    assert kept(SHORT, 2, few, tmp_path) != first
    assert len(list(tmp_path.iterdir())) == 2


def test_the_page_has_a_row_for_each_variant_and_opens_no_test_image(
    few: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "load_training_data", lambda _recipe: few)
    page = study_page({"one": SHORT, "other": replace(SHORT, horizontal_flips=False)}, (0, 1), tmp_path)
    rows = [line for line in page.splitlines() if line.startswith(("| one |", "| other |"))]
    assert len(rows) == 2
    figures = [kept(SHORT, seed, few, tmp_path)["accuracy"] for seed in (0, 1)]
    assert f"| {np.mean(figures):.4f} | {np.std(figures, ddof=1):.4f} |" in rows[0]
