"""Reading the record that a training leaves, `training.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fmnist_edge.errors import DataError


def read_training_record(path: Path) -> dict[str, Any]:
    """Return a training's record. Raises DataError if it cannot be read or holds no history of epochs."""
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read the training record {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    wanted = {"model", "recipe", "seed", "accuracy", "history"}
    if not isinstance(record, dict) or not wanted <= record.keys():
        raise DataError(f"{path} is no record of a training: `fmnist-edge train` writes one, training.json")
    return record
