"""What each part of the default recipe is worth: leave it out, train again, and measure on validation images.

`python studies/accuracy.py build/accuracy studies/accuracy-study.md` writes that page. Results are kept in
build/accuracy, so an interrupted study continues where it stopped.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from fmnist_bench.report import markdown_rows
from fmnist_edge.atomic import write_atomically
from fmnist_train.backend import use_one_thread
from fmnist_train.backup import Backup
from fmnist_train.calibration import logits_of, score
from fmnist_train.fit import TrainingData, fit, load_training_data
from fmnist_train.recipes import DEFAULT, TUTORIAL, Recipe
from fmnist_train.record import settings, versions

SEEDS: Final = (0, 1, 2)
VARIANTS: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        "default": DEFAULT,
        "plain steps": replace(DEFAULT, sharpness_radius=0.0),
        "plain steps, twice the epochs: the same work": replace(
            DEFAULT, sharpness_radius=0.0, epochs=2 * DEFAULT.epochs
        ),
        "twice the radius of the sharpness-aware steps": replace(
            DEFAULT, sharpness_radius=2 * DEFAULT.sharpness_radius
        ),
        "no input dropout": replace(DEFAULT, input_dropout=0.0),
        "twice the input dropout": replace(DEFAULT, input_dropout=2 * DEFAULT.input_dropout),
        "no flips": replace(DEFAULT, horizontal_flips=False),
        "last weights instead of their average": replace(DEFAULT, weight_average_momentum=None),
        "half the epochs": replace(DEFAULT, epochs=DEFAULT.epochs // 2),
        "tutorial, its last 5,000 images kept out": replace(TUTORIAL, validation=True),
    }
)
COLUMNS: Final = ("recipe", "epochs", "accuracy", "deviation", "negative log-likelihood")
TITLE: Final = "# What the parts of the default recipe are worth"
ABOVE: Final = """\
Made by `python studies/accuracy.py`. Each row trains seeds {seeds} on the first 55,000 training images and is measured
in float on the 5,000 validation images; no test image is used. The standard error of an accuracy, over images, is 0.4
points, but all rows use the same images, so differences are more precise than that."""


def measure(recipe: Recipe, seed: int, data: TrainingData) -> dict[str, float]:
    """Train and return accuracy and negative log-likelihood (nats) on validation images, the latter not calibrated."""
    assert data.validation is not None  # every variant keeps them
    with tempfile.TemporaryDirectory() as folder:
        backup = Backup(Path(folder) / "backup", {})
        backup.begin()
        model = fit(recipe, data, seed, backup, {}, lambda _epoch, _figures: None)
    scores = score(logits_of(model, data.validation.images), data.validation.labels)
    return {"accuracy": scores.accuracy, "negative_log_likelihood": scores.negative_log_likelihood}


def kept(recipe: Recipe, seed: int, data: TrainingData, folder: Path) -> dict[str, float]:
    """Return the figures of a recipe and seed, from `folder` if they are there, else measured and put there."""
    identity: dict[str, Any] = {"settings": settings(recipe), "seed": seed, "versions": versions()}
    for file in sorted(folder.glob("*.json")):
        stored = json.loads(file.read_text())
        if stored["identity"] == identity:
            found: dict[str, float] = stored["figures"]
            return found
    figures = measure(recipe, seed, data)
    number = len(list(folder.glob("*.json")))
    write_atomically(folder / f"{number:03d}.json", json.dumps({"identity": identity, "figures": figures}))
    return figures


def study_page(variants: Mapping[str, Recipe], seeds: tuple[int, ...], folder: Path) -> str:
    """Measure every variant with every seed and return the table as a page (Markdown)."""
    use_one_thread()
    data = load_training_data(DEFAULT)
    rows = []
    for name, recipe in variants.items():
        figures = [kept(recipe, seed, data, folder) for seed in seeds]
        accuracies, losses = ([one[key] for one in figures] for key in ("accuracy", "negative_log_likelihood"))
        shown = (statistics.mean(accuracies), statistics.stdev(accuracies), statistics.mean(losses))
        rows.append([name, str(recipe.epochs), *(f"{value:.4f}" for value in shown)])
    above = ABOVE.format(seeds=", ".join(map(str, seeds)))
    return f"{TITLE}\n\n{above}\n\n{markdown_rows(COLUMNS, rows)}\n"


if __name__ == "__main__":
    results, page = Path(sys.argv[1]), Path(sys.argv[2])
    if page.exists() and not page.read_text(encoding="utf-8").startswith(TITLE):
        sys.exit(f"{page} was not written by this study: name another file")
    write_atomically(page, study_page(VARIANTS, SEEDS, results))
