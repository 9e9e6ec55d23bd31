"""The dataset classifier's training: load, fit, calibrate, score, write; from one seed or from several."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fmnist_edge.atomic import write_atomically
from fmnist_edge.dataset import Split, load_split
from fmnist_train.backend import keras, use_one_thread
from fmnist_train.backup import Backup, History
from fmnist_train.calibration import Scores, fit_temperature, fold_temperature, logits_of, score
from fmnist_train.mlp import (
    NAME,
    DropoutClock,
    EpochClock,
    build_model,
    build_training_model,
    steps_per_epoch,
    training_batches,
)
from fmnist_train.recipes import Recipe
from fmnist_train.record import SCHEMA_VERSION, Outcome, Training, build_record, settings, versions, write_training

MODEL_FILE: Final = f"{NAME}.keras"
RECORD_FILE: Final = "training.json"
BACKUP_FOLDER: Final = f".{NAME}.backup"
SEEDS_FILE: Final = "seeds.json"

# The shape that made one cycle popular (fast.ai's and PyTorch's defaults): up in 30 % of the steps from
# 1/25 of the peak, then down a half cosine to 1/10,000 of where it began.
WARM_UP_SHARE: Final = 0.3
START_DIVISOR: Final = 25.0
END_DIVISOR: Final = START_DIVISOR * 1e4
AVERAGE_SHARE: Final = 0.03  # the default recipe's 1,000 steps are 0.029 of its own

OnEpoch = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch with its number, counted from 1, and its losses and accuracies."""
OnSeed = Callable[[int], OnEpoch]
"""Called before each training with its seed; returns what is told of its epochs."""


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
    with backup.kept_if_useful():
        model = fit(recipe, training_data, seed, backup, history, on_epoch)
    outcome = _finish(model, recipe, training_data, load_split("test", data), history)
    record = build_record(recipe, seed, outcome)
    training = write_training(model, record, output / MODEL_FILE, output / RECORD_FILE)
    backup.discard()
    return training


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


def seed_folder(output: Path, seed: int) -> Path:
    """Return the folder of one seed's files."""
    return output / f"seed-{seed}"


def train_seeds(
    recipe: Recipe,
    seeds: range,
    output: Path,
    *,
    data: Path | None = None,
    resume: bool = False,
    on_seed: OnSeed = lambda _seed: lambda _epoch, _figures: None,
) -> list[Training]:
    """Train once for each seed, into `seed-N` folders of `output`; see `train`.

    With `resume`, finished seeds are kept, an interrupted one is gone on with, and the others are begun. Raises what
    `train` raises.
    """
    trainings = []
    for seed in seeds:
        folder = seed_folder(output, seed)
        training = finished(recipe, seed, folder) if resume else None
        if training is None:
            interrupted = resume and backup_for(recipe, seed, folder).exists()
            training = train(recipe, seed, folder, data=data, resume=interrupted, on_epoch=on_seed(seed))
        trainings.append(training)
    return trainings


def finished(recipe: Recipe, seed: int, folder: Path) -> Training | None:
    """Return the finished training of this recipe and seed in a folder, if it holds one made by these versions."""
    model, record_file = folder / MODEL_FILE, folder / RECORD_FILE
    if not (model.is_file() and record_file.is_file()):
        return None
    record = json.loads(record_file.read_text())
    wanted = {"recipe": recipe.name, "settings": settings(recipe), "seed": seed, "versions": versions()}
    if any(record.get(key) != value for key, value in wanted.items()):
        return None
    return Training(record, (model, record_file))


def chosen_seed(trainings: Sequence[Training]) -> Training:
    """Return the training that is most accurate on the validation images, the first of equals."""
    return max(trainings, key=lambda training: training.record["accuracy"]["validation"])


def seed_figures(trainings: Sequence[Training]) -> dict[str, Any]:
    """Return all figures as JSON values: each seed's, mean and sample standard deviation, and the choice."""
    rows = [{"seed": one.record["seed"], **one.record["accuracy"]} for one in trainings]
    columns = {split: [float(row[split]) for row in rows] for split in ("validation", "test")}
    return {
        "schema_version": SCHEMA_VERSION,
        "seeds": rows,
        "mean": {split: round(statistics.mean(values), 5) for split, values in columns.items()},
        "standard_deviation": {split: round(statistics.stdev(values), 5) for split, values in columns.items()},
        "chosen_seed": chosen_seed(trainings).record["seed"],
        "chosen_by": "accuracy of the float network on the 5,000 validation images",
        "test_evaluations": len(rows),
    }


def keep_chosen(output: Path, trainings: Sequence[Training]) -> list[Path]:
    """Write the figures of all seeds and copy the chosen seed's files out of its folder. Raises OutputError."""
    write_atomically(output / SEEDS_FILE, json.dumps(seed_figures(trainings), indent=2) + "\n")
    model, record = chosen_seed(trainings).files
    for source in (record, model):
        write_atomically(output / source.name, source.read_bytes())
    return [output / MODEL_FILE, output / RECORD_FILE, output / SEEDS_FILE]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The images a training may see: never a test image."""

    train: Split
    validation: Split | None


def load_training_data(recipe: Recipe, folder: Path | None = None) -> TrainingData:
    """Load 55,000 + 5,000 images for a recipe with validation, else all 60,000. Raises DataError."""
    if recipe.validation:
        return TrainingData(load_split("train", folder), load_split("validation", folder))
    return TrainingData(load_split("full-train", folder), None)


def fit(recipe: Recipe, data: TrainingData, seed: int, backup: Backup, history: History, on_epoch: OnEpoch) -> Any:
    """Train and return the network (see `build_model`), its weights averaged if the recipe says so.

    `history` is what `backup.restore` returned, or empty; the epochs trained here are appended to it.
    """
    keras.utils.set_random_seed(seed)
    model = build_model()
    trainer = _compiled(model, recipe, len(data.train.labels))
    clock, masks = EpochClock(), DropoutClock(steps_per_epoch(len(data.train.labels), recipe.batch_size))
    trainer.fit(
        training_batches(data.train, recipe, seed, clock.epoch),
        epochs=recipe.epochs,
        shuffle=False,
        verbose=0,
        validation_data=_arrays(data.validation),
        validation_batch_size=1000,
        callbacks=[clock, masks, *_averaging(recipe, data), *backup.callbacks(history), _Report(on_epoch)],
    )
    return model


def _compiled(model: Any, recipe: Recipe, images: int) -> Any:
    """Return the training model, compiled so that an epoch is one call into TensorFlow.

    Measured on one core: 1.0 s an epoch of 55,000 images so, 2.3 s with a call a step, 30 s with XLA.
    """
    steps = steps_per_epoch(images, recipe.batch_size)
    trainer = build_training_model(model, recipe.input_dropout, recipe.sharpness_radius)
    trainer.compile(
        optimizer=build_optimizer(recipe, steps * recipe.epochs),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=False),
        metrics=["accuracy"],
        steps_per_execution=steps,
        jit_compile=False,
    )
    return trainer


def _averaging(recipe: Recipe, data: TrainingData) -> list[Any]:
    """Return what makes validation see the averaged weights while training goes on with its own."""
    if recipe.weight_average_momentum is None or data.validation is None:
        return []
    return [keras.callbacks.SwapEMAWeights()]


def _arrays(split: Split | None) -> tuple[Any, Any] | None:
    return None if split is None else (split.images, split.labels)


class _Report(keras.callbacks.Callback):
    """Hands each epoch's figures to the caller."""

    def __init__(self, on_epoch: OnEpoch) -> None:
        super().__init__()
        self._on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the epoch, counted from 1."""
        self._on_epoch(epoch + 1, {key: float(value) for key, value in (logs or {}).items()})


def learning_rate(recipe: Recipe, steps: int) -> Any:
    """Return the rate for a training of `steps` steps: a float, or a Keras schedule (step -> float)."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / START_DIVISOR,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
        alpha=1 / END_DIVISOR,
    )


def build_optimizer(recipe: Recipe, steps: int) -> Any:
    """Return the recipe's optimizer for a training of `steps` steps, with Keras's own weight averaging."""
    momentum = average_momentum(recipe, steps)
    averaging = {} if momentum is None else {"use_ema": True, "ema_momentum": momentum}
    rate = learning_rate(recipe, steps)
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate, **averaging)
    return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, **averaging)


def average_momentum(recipe: Recipe, steps: int) -> float | None:
    """Return the momentum m of the moving average for a training of `steps` steps; None if there is none.

    The recipe's, but less where its reach of 1 / (1 - m) steps would be more than AVERAGE_SHARE of them all:
    a short training would be averaged with its first random weights.
    """
    if recipe.weight_average_momentum is None:
        return None
    return min(recipe.weight_average_momentum, 1 - 1 / max(1.0, AVERAGE_SHARE * steps))
