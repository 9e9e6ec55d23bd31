from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fmnist_edge.dataset import Split
from fmnist_train import soft_labels
from fmnist_train.recipes import DEFAULT, TUTORIAL, TeacherRecipe
from fmnist_train.soft_labels import blend, targets_for

TEACHER = TeacherRecipe(epochs=1, batch_size=4, learning_rate=1e-3, weight_decay=0.0, temperature=2.0, share=0.75)
RECIPE = replace(DEFAULT, teacher=TEACHER)


@pytest.fixture
def few() -> Split:
    random = np.random.default_rng(0)
    return Split(random.integers(0, 256, (12, 28, 28)).astype(np.uint8), (np.arange(12) % 10).astype(np.uint8))


def test_a_recipe_without_a_teacher_takes_the_labels_as_they_are(few: Split, tmp_path: Path) -> None:
    targets = targets_for(TUTORIAL, few, tmp_path / "teacher.npz", print)
    np.testing.assert_array_equal(targets, np.eye(10)[few.labels])
    assert list(tmp_path.iterdir()) == []


def test_the_blend_is_the_teachers_softened_share_and_the_rest_of_the_label() -> None:
    logits = np.log([[0.64, 0.36], [0.2, 0.8]]).astype(np.float32)
    blended = blend(logits, np.eye(2, dtype=np.float32), TEACHER)  # square roots of the odds: 0.8 : 0.6, 1 : 2
    np.testing.assert_allclose(blended, [[0.25 + 0.75 * 4 / 7, 0.75 * 3 / 7], [0.25, 0.75]], atol=1e-6)


def test_a_teacher_is_trained_once_for_all_that_share_its_file(
    few: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, told = tmp_path / "teacher.npz", list[str]()
    first = targets_for(RECIPE, few, file, told.append)
    assert len(told) == 1
    assert told[0].startswith("teacher, epoch 1/1: loss ")
    np.testing.assert_allclose(first.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(targets_for(RECIPE, few, file, told.append), first)
    listening_less = replace(RECIPE, teacher=replace(TEACHER, share=0.5))
    assert np.any(targets_for(listening_less, few, file, told.append) != first)
    assert len(told) == 1
    monkeypatch.setattr(soft_labels, "TEACHER_SEED", 1)
    assert np.any(targets_for(RECIPE, few, file, told.append) != first)
    assert len(told) == 2
