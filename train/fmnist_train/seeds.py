"""The same training from several seeds: what a recipe is worth, apart from luck."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import GateError
from fmnist_train.fitting import OnEpoch
from fmnist_train.recipes import Recipe
from fmnist_train.record import settings, versions
from fmnist_train.training import MODEL_FILE, RECORD_FILE, Training, backup_for, train

SEEDS_FILE: Final = "seeds.json"

OnSeed = Callable[[int], OnEpoch]
"""Called before each training with its seed; returns what is told of its epochs."""


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


def keep_chosen(output: Path, facts: dict[str, Any], folder: Path | None) -> list[Path]:
    """Write the figures of all seeds (JSON values) and copy the chosen seed's files out of its folder.

    Raises GateError if no seed was chosen (the figures are written all the same), OutputError.
    """
    write_atomically(output / SEEDS_FILE, json.dumps(facts, indent=2) + "\n")
    if folder is None:
        raise GateError(f"no seed holds the parity gate; the figures are in {output / SEEDS_FILE}")
    for name in (RECORD_FILE, MODEL_FILE):
        write_atomically(output / name, (folder / name).read_bytes())
    return [output / name for name in (MODEL_FILE, RECORD_FILE, SEEDS_FILE)]
