"""What a training leaves: its record, `training.json`, and the .keras file, Keras's own archive made reproducible.

No time stamps and no paths: the same training gives the same bytes.
"""

from __future__ import annotations

import io
import json
import platform
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from fmnist_edge.atomic import write_atomically
from fmnist_edge.dataset import SHA256
from fmnist_edge.model_info import IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME
from fmnist_train.backup import History
from fmnist_train.calibration import BINS, Scores
from fmnist_train.mlp import HIDDEN_UNITS, NAME
from fmnist_train.recipes import RECIPES, Recipe

SCHEMA_VERSION: Final = 1  # raised when a key changes its meaning
FIGURE_DIGITS: Final = 6
RECORD_MEMBER: Final = "training.json"
_OBJECT: Final = "shared_object_id"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip archive can hold


@dataclass(frozen=True, eq=False)
class Training:
    """A finished training: its record, and where the model and the record lie."""

    record: dict[str, Any]
    files: tuple[Path, Path]


@dataclass(frozen=True)
class Outcome:
    """What came out of a training."""

    scores: Mapping[str, Scores]
    """Of the saved network, by split: train, validation (if the recipe keeps one), test."""
    scores_before_temperature: Mapping[str, Scores] | None
    """The same for validation and test without the temperature; None if none was fitted."""
    temperature: float | None
    history: History
    """Loss and accuracy of each epoch: of the training batches as augmented, and (val_) of validation."""
    parameters: int


def versions() -> dict[str, str]:
    """Return the versions that decide the bits of a training."""
    packages = {name: version(name) for name in ("tensorflow", "keras", "numpy", "h5py")}
    return {"python": platform.python_version(), **packages}


def settings(recipe: Recipe) -> dict[str, Any]:
    """Return every field of a recipe but its name, as JSON values."""
    fields = asdict(recipe)
    del fields["name"]
    return fields


def changed_settings(recipe: Recipe) -> list[str]:
    """Return which settings differ from those of the recipe of that name, sorted."""
    named = settings(RECIPES[recipe.name])
    return sorted(key for key, value in settings(recipe).items() if value != named[key])


def build_record(recipe: Recipe, seed: int, outcome: Outcome) -> dict[str, Any]:
    """Return the record as JSON values."""
    return {
        "schema_version": SCHEMA_VERSION,
        "model": NAME,
        "recipe": recipe.name,
        "settings": settings(recipe),
        "changed_settings": changed_settings(recipe),
        "seed": seed,
        "network": _network(outcome.parameters),
        "images": _images(recipe),
        "accuracy": {split: round(scores.accuracy, 4) for split, scores in outcome.scores.items()},
        "negative_log_likelihood": {
            split: round(scores.negative_log_likelihood, FIGURE_DIGITS) for split, scores in outcome.scores.items()
        },
        "calibration": _calibration(outcome),
        "history": outcome.history,
        "versions": versions(),
        "dataset": {"name": "Fashion-MNIST", "sha256": dict(SHA256)},
    }


def write_training(model: Any, record: dict[str, Any], model_file: Path, record_file: Path) -> Training:
    """Write the record, then the model: where a new model lies, its record lies too. Raises OutputError."""
    text = json.dumps(record, indent=2) + "\n"
    write_atomically(record_file, text)
    write_atomically(model_file, keras_file(model, text))
    return Training(record, (model_file, record_file))


def _network(parameters: int) -> dict[str, Any]:
    return {
        "units": [IMAGE_SIDE * IMAGE_SIDE, HIDDEN_UNITS, len(LABELS)],
        "activations": ["relu", "softmax"],
        "parameters": parameters,
        "input": {"name": INPUT_NAME, "dtype": "uint8", "shape": ["batch", IMAGE_SIDE, IMAGE_SIDE]},
        "output": {"name": OUTPUT_NAME, "dtype": "float32", "shape": ["batch", len(LABELS)]},
        "labels": list(LABELS),
    }


def _images(recipe: Recipe) -> dict[str, Any]:
    """Say which images of the dataset's files were used for what, as half-open ranges of indices."""
    split = {"train": [0, 55_000], "validation": [55_000, 60_000]} if recipe.validation else {"train": [0, 60_000]}
    return {**split, "test": [0, 10_000], "test_evaluations": 1}


def _calibration(outcome: Outcome) -> dict[str, Any]:
    """Return the temperature and the expected calibration errors with it and, where one was fitted, without."""
    facts: dict[str, Any] = {
        "bins": BINS,
        "temperature": None,
        "expected_calibration_error": _errors(outcome.scores),
    }
    if outcome.temperature is None or outcome.scores_before_temperature is None:
        return facts
    before = outcome.scores_before_temperature
    return {
        **facts,
        "temperature": round(outcome.temperature, FIGURE_DIGITS),
        "fitted_on": "validation",
        "expected_calibration_error_before": _errors(before),
        "negative_log_likelihood_before": {
            split: round(scores.negative_log_likelihood, FIGURE_DIGITS) for split, scores in before.items()
        },
    }


def _errors(scores: Mapping[str, Scores]) -> dict[str, float]:
    return {split: round(one.expected_calibration_error, FIGURE_DIGITS) for split, one in scores.items()}


def keras_file(model: Any, record: str) -> bytes:
    """Return the bytes of a .keras file of `model`, with `record` (JSON) as its member `training.json`.

    Plain `keras.models.load_model` reads it. The same weights and record give the same bytes: times in the
    archive are fixed, Keras's `date_saved` is left out, its object numbers (memory addresses) are replaced by
    1, 2, 3 in the order of the file, and nothing is compressed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        members = _read_members(path)
    members["metadata.json"] = _without_date(members["metadata.json"])
    members["config.json"] = _renumbered(members["config.json"])
    members[RECORD_MEMBER] = record.encode()
    return _archive(members)


def read_record(path: Path) -> dict[str, Any]:
    """Return the record inside a .keras file written by `keras_file`. Raises KeyError if it holds none."""
    with zipfile.ZipFile(path) as archive:
        record: dict[str, Any] = json.loads(archive.read(RECORD_MEMBER))
    return record


def _read_members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _without_date(metadata: bytes) -> bytes:
    content = json.loads(metadata)
    content.pop("date_saved", None)
    return json.dumps(content).encode()


def _renumbered(config: bytes) -> bytes:
    """Return a configuration whose `shared_object_id`s count the objects; equal ones stay equal."""
    numbers: dict[int, int] = {}

    def renumber(pairs: dict[str, Any]) -> dict[str, Any]:
        if _OBJECT in pairs:
            pairs[_OBJECT] = numbers.setdefault(pairs[_OBJECT], len(numbers) + 1)
        return pairs

    return json.dumps(json.loads(config, object_hook=renumber)).encode()


def _archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(name, date_time=_EPOCH)
            member.create_system = 3  # the same on every system
            archive.writestr(member, members[name])
    return buffer.getvalue()
