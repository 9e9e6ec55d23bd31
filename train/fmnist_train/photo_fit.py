"""The photo model's training: read pictures, hold some out, fit, calibrate on those held out, write."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.dataset import SHA256, Split, load_split
from fmnist_edge.errors import DataError
from fmnist_edge.model_info import LABELS, OUTPUT_NAME
from fmnist_edge.pictures import Picture, accepted_matrix, hold_out, load_squares, read_collections
from fmnist_train.augment import Batches
from fmnist_train.backend import keras, tf
from fmnist_train.backup import Backup, History
from fmnist_train.calibration import calibration_error, confidence_for, fit_partial_temperature, fold_temperature
from fmnist_train.cnn import NAME, build_cnn, build_cnn_training_model, partial_label_loss
from fmnist_train.mlp import EpochClock
from fmnist_train.recipes import PhotoRecipe
from fmnist_train.record import FIGURE_DIGITS, SCHEMA_VERSION, Training, versions, write_training
from fmnist_train.stock import Stock, load_stock

MODEL_FILE: Final = f"{NAME}.keras"
RECORD_FILE: Final = f"{NAME}.training.json"
BACKUP_FOLDER: Final = f".{NAME}.backup"
FEWEST_HELD_OUT: Final = 50  # garments: fewer set no temperature
WARM_UP_SHARE: Final = 0.05  # of a cycle's steps, up to its peak rate; then a cosine down
START_DIVISOR: Final = 25.0  # a cycle begins at its peak rate divided by this
END_SHARE: Final = 1e-3  # and ends at this share of it
AVERAGE_SHARE: Final = 0.03  # the moving average reaches over at most this share of a cycle

OnRead = Callable[[int, int], None]
"""Called while pictures are read, with how much is done and how much there is in all."""
OnStep = Callable[[int, Mapping[str, float]], None]
"""Called after a step or an epoch with the number of steps done and the figures so far (an epoch's have `val_`)."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Pictures that no step is taken on."""

    pictures: Sequence[Picture]
    squares: NDArray[np.uint8]
    """[n, side, side, 3]"""
    accepted: NDArray[np.float32]
    """[n, 10]"""

    def garments(self) -> NDArray[np.bool_]:
        """Tell which pictures show a garment of the ten classes: bool [n]."""
        result: NDArray[np.bool_] = self.accepted.max(axis=1, initial=0) > 0
        return result


def photo_backup(recipe: PhotoRecipe, seed: int, output: Path) -> Backup:
    """Return the backup of this training in an output folder, whether or not it exists yet."""
    return Backup(output / BACKUP_FOLDER, {**asdict(recipe), "seed": seed, **versions()})


def train_photo(
    recipe: PhotoRecipe,
    seed: int,
    output: Path,
    collections: Sequence[Path],
    *,
    data: Path | None = None,
    resume: bool = False,
    on_read: OnRead = lambda _done, _total: None,
    on_step: OnStep = lambda _step, _figures: None,
) -> Training:
    """Train the photo model on collections of pictures and write `fmnist-photo.keras` and its record into `output`.

    Files of an earlier training are replaced at the end. Raises
    UsageError if there is nothing to resume or it is of another training, DataError, OutputError.
    """
    backup = photo_backup(recipe, seed, output)
    history = backup.restore() if resume else {}
    pictures = read_collections(collections, "train")
    kept, out = hold_out(pictures, recipe.held_out)
    _require_classes(kept)
    if not resume:
        backup.begin()
    with backup.kept_if_useful():
        images = load_split("train", data)
        stock, held_out = _read(recipe, seed, kept, out, images, on_read)
        model = _fit(recipe, seed, stock, held_out, backup, history, on_step)
    record = _record(recipe, seed, pictures, _calibrate(model, recipe, held_out), history, model)
    training = write_training(model, record, output / MODEL_FILE, output / RECORD_FILE)
    backup.discard()
    return training


def _require_classes(pictures: Sequence[Picture]) -> None:
    """Raise DataError where a class is missing: the network would never be told what it looks like in a picture."""
    seen = {one for picture in pictures for one in picture.accepted}
    missing = [label for number, label in enumerate(LABELS) if number not in seen]
    if missing:
        raise DataError(f"the pictures show no {', no '.join(missing)}: add a collection that does with --pictures")


def _read(
    recipe: PhotoRecipe, seed: int, kept: Sequence[Picture], out: Sequence[Picture], images: Split, on_read: OnRead
) -> tuple[Stock, HeldOut]:
    """Read the pictures that are trained on and those held out."""
    total, done = len(out) + 2 * len(kept), 0

    def on_done(count: int) -> None:
        nonlocal done
        done += count
        on_read(done, total)

    held_out = HeldOut(out, load_squares(out, recipe.side, on_done=on_done), accepted_matrix(out))
    stock = load_stock(kept, images, recipe.canvas, seed, on_done)
    on_read(total, total)
    return stock, held_out


def _fit(
    recipe: PhotoRecipe,
    seed: int,
    stock: Stock,
    held_out: HeldOut,
    backup: Backup,
    history: History,
    on_step: OnStep,
) -> Any:
    """Train and return the network with its averaged weights."""
    keras.utils.set_random_seed(seed)
    model = build_cnn(recipe.side, recipe.layers)
    trainer = build_cnn_training_model(model)
    trainer.compile(
        optimizer=_optimizer(recipe),
        loss=partial_label_loss(recipe.smoothing, recipe.no_garment_weight),
        weighted_metrics=[],
        metrics=[AcceptedAccuracy()],
        jit_compile=False,  # measured: XLA takes a third more time on a CPU, and so does bfloat16 with it
    )
    clock = EpochClock()
    trainer.fit(
        _epochs(recipe, stock, seed, clock.epoch),
        epochs=recipe.epochs,
        shuffle=False,
        verbose=0,
        validation_data=(held_out.squares.astype(np.float32), held_out.accepted) if len(held_out.squares) else None,
        validation_batch_size=256,
        callbacks=[
            clock,
            keras.callbacks.SwapEMAWeights(),
            *backup.callbacks(history),
            _Steps(recipe.steps, on_step),
        ],
    )
    return model


def _epochs(recipe: PhotoRecipe, stock: Stock, seed: int, epoch: Any) -> Any:
    """Return a tf.data.Dataset of one epoch; `epoch` is a variable, set before Keras makes the epoch's iterator."""
    first = Batches(stock, recipe.side, recipe.batch_size, seed, recipe.cycles[0].augmentation)
    makers = [first, *(first.changed(cycle.augmentation) for cycle in recipe.cycles[1:])]
    starts = np.cumsum([cycle.epochs for cycle in recipe.cycles])[:-1].astype(np.int64)

    def batch(step: Any) -> Any:
        number = tf.identity(epoch)
        cycle = tf.reduce_sum(tf.cast(number >= starts, tf.int32))
        return tf.switch_case(cycle, [partial(maker.batch, number, step) for maker in makers])

    return tf.data.Dataset.range(recipe.steps).map(batch).prefetch(2)


def _optimizer(recipe: PhotoRecipe) -> Any:
    cycles = [(cycle.epochs * recipe.steps, cycle.learning_rate) for cycle in recipe.cycles]
    shortest = min(steps for steps, _ in cycles)
    momentum = min(recipe.weight_average_momentum, 1 - 1 / max(1.0, AVERAGE_SHARE * shortest))
    optimizer = keras.optimizers.AdamW(
        CosineCycles(cycles), weight_decay=recipe.weight_decay, use_ema=True, ema_momentum=momentum
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


class CosineCycles(keras.optimizers.schedules.LearningRateSchedule):
    """Cycles of the learning rate: each climbs to its peak in WARM_UP_SHARE of its steps, then falls as a cosine."""

    def __init__(self, cycles: Sequence[tuple[int, float]]) -> None:
        """Take the steps and the peak rate of each cycle."""
        super().__init__()
        self.cycles = [(steps, rate) for steps, rate in cycles]
        self._parts = []
        for steps, rate in self.cycles:
            warm_up = max(1, round(WARM_UP_SHARE * steps))
            part = keras.optimizers.schedules.CosineDecay(
                initial_learning_rate=rate / START_DIVISOR,
                warmup_target=rate,
                warmup_steps=warm_up,
                decay_steps=max(1, steps - warm_up),
                alpha=END_SHARE,
            )
            self._parts.append((steps, part))

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step, counted from 0 through all cycles."""
        rate, before = self._parts[0][1](step), 0
        for (steps, _), (_, part) in zip(self._parts, self._parts[1:], strict=False):
            before += steps
            rate = keras.ops.where(step >= before, part(step - before), rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Return what makes the same schedule again."""
        return {"cycles": self.cycles}


class AcceptedAccuracy(keras.metrics.Mean):
    """Share of the garments whose most probable class is an accepted one."""

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(name=name)

    def update_state(self, accepted: Any, probabilities: Any, sample_weight: Any = None) -> None:
        """Count a batch: accepted float32 [n, 10] of 0 and 1, probabilities [n, 10]."""
        named = keras.ops.one_hot(keras.ops.argmax(probabilities, axis=-1), len(LABELS))
        garments = keras.ops.max(accepted, axis=-1)
        super().update_state(keras.ops.sum(named * accepted, axis=-1), sample_weight=garments)


class _Steps(keras.callbacks.Callback):
    """Hands figures to the caller, step by step and at the end of each epoch."""

    def __init__(self, steps: int, on_step: OnStep) -> None:
        super().__init__()
        self._steps, self._on_step, self._epoch = steps, on_step, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._on_step(self._epoch * self._steps + batch + 1, _floats(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._on_step((epoch + 1) * self._steps, _floats(logs))


def _floats(logs: Mapping[str, Any] | None) -> dict[str, float]:
    return {key: float(value) for key, value in (logs or {}).items()}


def _calibrate(model: Any, recipe: PhotoRecipe, held_out: HeldOut) -> dict[str, Any]:
    """Fold the temperature in and return what the held-out pictures say: JSON values."""
    garments = held_out.garments()
    if garments.sum() < FEWEST_HELD_OUT:
        return {"temperature": None, "unsure_below": 0.0, "accuracy": {}, "held_out": {"pictures": len(garments)}}
    logits = _logits(model, held_out.squares)
    temperature = fit_partial_temperature(logits[garments], held_out.accepted[garments])
    fold_temperature(model, temperature)
    probabilities = model.predict(held_out.squares, batch_size=256, verbose=0).astype(np.float64)
    confidence = probabilities.max(axis=1)
    right = held_out.accepted[np.arange(len(logits)), probabilities.argmax(axis=1)] > 0
    unsure_below = confidence_for(recipe.right_of_answered, confidence[garments], right[garments])
    answered = confidence >= unsure_below
    return {
        "temperature": round(temperature, FIGURE_DIGITS),
        "unsure_below": float(np.floor(unsure_below * 1e4) / 1e4),
        "accuracy": {"held_out": round(float(right[garments].mean()), 4)},
        "held_out": {
            "pictures": len(garments),
            "garments": int(garments.sum()),
            "collections": _by_collection(held_out, right, answered),
            "expected_calibration_error": round(calibration_error(confidence[garments], right[garments]), 4),
        },
    }


def _logits(model: Any, squares: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what the softmax is given, float64 [n, 10]."""
    last = model.get_layer(OUTPUT_NAME)
    pooled = keras.Model(model.inputs, last.input).predict(squares, batch_size=256, verbose=0)
    kernel, bias = (np.asarray(weight, dtype=np.float64) for weight in last.get_weights())
    return np.asarray(pooled, dtype=np.float64) @ kernel + bias


def _by_collection(
    held_out: HeldOut, right: NDArray[np.bool_], answered: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Return shares for each collection: garments right, answered, right of the answered; no garment called unsure."""
    names = np.array([picture.collection.name for picture in held_out.pictures])
    garments = held_out.garments()
    figures: dict[str, dict[str, float]] = {}
    for name in sorted(set(names.tolist())):
        own, other = (names == name) & garments, (names == name) & ~garments
        shares = {
            "right": right[own],
            "answered": answered[own],
            "right_of_answered": right[own & answered],
            "no_garment_unsure": ~answered[other],
        }
        counts = {"garments": int(own.sum()), "no_garment": int(other.sum())}
        figures[name] = {**counts, **{key: round(float(one.mean()), 4) for key, one in shares.items() if len(one)}}
    return figures


def _record(
    recipe: PhotoRecipe,
    seed: int,
    pictures: Sequence[Picture],
    calibration: Mapping[str, Any],
    history: History,
    model: Any,
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "model": NAME,
        "recipe": recipe.name,
        "settings": {key: value for key, value in asdict(recipe).items() if key != "name"},
        "seed": seed,
        "network": {
            "side": recipe.side,
            "layers": [list(layer) for layer in recipe.layers],
            "parameters": sum(int(np.prod(weight.shape)) for weight in model.get_weights()),
            "labels": list(LABELS),
        },
        "training_data": _training_data(pictures),
        **calibration,
        "history": history,
        "versions": versions(),
        "dataset": {"name": "Fashion-MNIST", "sha256": dict(SHA256), "train": [0, 55_000]},
    }


def _training_data(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Return each collection's name, number of pictures, and a digest of their paths and labels."""
    counts = Counter(picture.collection.name for picture in pictures)
    digests = {name: hashlib.sha256() for name in counts}
    for picture in pictures:
        digests[picture.collection.name].update(f"{picture.path} {picture.accepted}\n".encode())
    return [
        {"name": name, "pictures": counts[name], "sha256_of_labels": digests[name].hexdigest()}
        for name in sorted(counts)
    ]
