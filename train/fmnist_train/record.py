"""The record of a training, `training.json`: what was done, with what, and what came out.

No time stamps and no paths: the same training gives the same record.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

from fmnist_edge.contract import IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME
from fmnist_edge.dataset import SHA256
from fmnist_train.backup import History
from fmnist_train.model import HIDDEN_UNITS, NAME
from fmnist_train.recipes import RECIPES, Recipe
from fmnist_train.scores import BINS, Scores

SCHEMA_VERSION: Final = 1  # raised when a key changes its meaning
FIGURE_DIGITS: Final = 6


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


def record_text(record: dict[str, Any]) -> str:
    """Return a record as the text of its file."""
    return json.dumps(record, indent=2) + "\n"


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
