"""Soft labels: what the teacher thinks of each training image, blended with what the dataset says.

Knowledge distillation (Hinton, Vinyals & Dean 2015). A share of an image's label goes where the teacher's softmax puts
it, so the small network is told that a coat looks like a pullover, and is not made to believe wrong labels.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.atomic import write_atomically
from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import Split
from fmnist_train.recipes import Recipe, TeacherRecipe
from fmnist_train.record import versions
from fmnist_train.scores import log_softmax
from fmnist_train.teacher import OnTeacherEpoch, judge, train_teacher

TEACHER_SEED: Final = 0  # one teacher for all seeds of the classifier: it is part of the recipe


def targets_for(recipe: Recipe, split: Split, file: Path, on_epoch: OnTeacherEpoch) -> NDArray[np.float32]:
    """Return what the network is to say of each image of a split, float32 [n, 10], rows summing to 1.

    One-hot labels, or soft ones if the recipe has a teacher: its logits are read from `file`, if that was made by the
    same recipe and versions, else it is trained and the file written. Raises OutputError.
    """
    hard = np.eye(len(LABELS), dtype=np.float32)[split.labels]
    if recipe.teacher is None:
        return hard
    logits = _read(recipe.teacher, file)
    if logits is None:
        logits = judge(train_teacher(recipe.teacher, split, TEACHER_SEED, on_epoch), split.images)
        _write(recipe.teacher, file, logits)
    return blend(logits, hard, recipe.teacher)


def blend(logits: NDArray[np.float32], hard: NDArray[np.float32], recipe: TeacherRecipe) -> NDArray[np.float32]:
    """Return share * softmax(logits / temperature) + (1 - share) * hard, float32 [n, 10] each."""
    soft = np.exp(log_softmax(logits.astype(np.float64) / recipe.temperature))
    return np.asarray(recipe.share * soft + (1 - recipe.share) * hard, np.float32)


def _identity(recipe: TeacherRecipe) -> str:
    training: dict[str, Any] = {
        key: value for key, value in asdict(recipe).items() if key not in ("share", "temperature")
    }
    return json.dumps({**training, "seed": TEACHER_SEED, **versions()}, sort_keys=True)


def _read(recipe: TeacherRecipe, file: Path) -> NDArray[np.float32] | None:
    if not file.is_file():
        return None
    with np.load(file) as stored:
        if str(stored["identity"]) != _identity(recipe):
            return None
        logits: NDArray[np.float32] = stored["logits"]
    return logits


def _write(recipe: TeacherRecipe, file: Path, logits: NDArray[np.float32]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, identity=_identity(recipe), logits=logits)
    write_atomically(file, buffer.getvalue())
