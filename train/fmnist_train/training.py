"""A whole training: load, fit, calibrate, score, write."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fmnist_edge.atomic import write_atomically
from fmnist_edge.dataset import Split, load_split
from fmnist_train.backend import use_one_thread
from fmnist_train.backup import Backup, History
from fmnist_train.fitting import OnEpoch, TrainingData, fit, load_training_data
from fmnist_train.keras_file import keras_file
from fmnist_train.model import NAME
from fmnist_train.recipes import Recipe
from fmnist_train.record import Outcome, build_record, record_text, versions
from fmnist_train.scores import Scores, score
from fmnist_train.temperature import fit_temperature, fold_temperature, logits_of

MODEL_FILE: Final = f"{NAME}.keras"
RECORD_FILE: Final = "training.json"
BACKUP_FOLDER: Final = f".{NAME}.backup"


@dataclass(frozen=True, eq=False)
class Training:
    """A finished training and where its files lie."""

    record: dict[str, Any]
    files: tuple[Path, ...]


def backup_for(recipe: Recipe, seed: int, output: Path) -> Backup:
    """Return the backup of this training in an output folder, whether or not it exists yet."""
    return Backup(output / BACKUP_FOLDER, {**asdict(recipe), "seed": seed, **versions()})


def train(
    recipe: Recipe,
    seed: int,
    output: Path,
    *,
    data: Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch = lambda _epoch, _figures: None,
) -> Training:
    """Train the classifier and write `fmnist-mlp.keras` and `training.json` into `output`.

    Deterministic for a seed (0..2**32-1) on one machine, interrupted and resumed or not. Files of an earlier
    training are replaced at the end, each in one step. Without `resume`, a backup left there is discarded.
    Raises UsageError if there is nothing to resume or it is of another training, DataError, OutputError.
    """
    use_one_thread()
    backup = backup_for(recipe, seed, output)
    history = backup.restore() if resume else {}
    training_data = load_training_data(recipe, data)
    if not resume:
        backup.begin()
    try:
        model = fit(recipe, training_data, seed, backup, history, on_epoch)
    except BaseException:
        if not backup.exists():  # no epoch was finished: what there is is of no use
            backup.discard()
        raise
    outcome = _finish(model, recipe, training_data, load_split("test", data), history)
    record = build_record(recipe, seed, outcome)
    files = _write(model, record, output)
    backup.discard()
    return Training(record, files)


def _finish(model: Any, recipe: Recipe, data: TrainingData, test: Split, history: History) -> Outcome:
    """Fold the temperature in, if the recipe wants one, and score the network as it will be saved."""
    splits = {"train": data.train, "validation": data.validation, "test": test}
    known = {name: split for name, split in splits.items() if split is not None}
    logits = {name: logits_of(model, split.images) for name, split in known.items()}
    temperature, before = None, None
    if recipe.temperature and data.validation is not None:
        temperature = fit_temperature(logits["validation"], data.validation.labels)
        fold_temperature(model, temperature)
        before = {name: score(logits[name], known[name].labels) for name in ("validation", "test")}
        logits = {name: values / temperature for name, values in logits.items()}
    scores: dict[str, Scores] = {name: score(logits[name], split.labels) for name, split in known.items()}
    return Outcome(scores, before, temperature, history, _parameters(model))


def _parameters(model: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.get_weights())


def _write(model: Any, record: dict[str, Any], output: Path) -> tuple[Path, ...]:
    """Write the model last: where a new model lies, its record lies too."""
    text = record_text(record)
    contents: dict[str, bytes | str] = {
        RECORD_FILE: text,
        MODEL_FILE: keras_file(model, text),
    }
    for name, content in contents.items():
        write_atomically(output / name, content)
    return tuple(output / name for name in reversed(contents))
