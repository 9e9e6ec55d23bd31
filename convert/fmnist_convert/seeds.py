"""The int8 files of several trainings of one recipe: their mean and deviation, and which of them to ship."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_convert.pipeline import convert
from fmnist_convert.predictors import open_predictor
from fmnist_edge.dataset import load_split


@dataclass(frozen=True)
class SeedResult:
    """One seed's int8 file, measured."""

    seed: int
    folder: Path
    validation: float
    """Share of the 5,000 validation images that the int8 file labels rightly."""
    test: float
    """The same of the 10,000 test images."""
    keras_test: float
    """Of the Keras original, on test images."""
    agreement: float
    """Share of test images with the same label as the Keras original."""
    broken: tuple[str, ...]
    """Limits of the parity gate that do not hold; such a file is never chosen."""


def convert_seed(source: Path, data: Path | None = None) -> SeedResult:
    """Convert a training's .keras file into its own folder and measure the int8 file. Raises ModelError, DataError."""
    conversion = convert(source, data=data)
    written = conversion.write(source.parent)
    validation = load_split("validation", data)
    right = open_predictor(written[-1])(validation.images).argmax(axis=1) == validation.labels
    keras, _, int8, _ = conversion.rows
    assert int8.parity is not None  # only the Keras row has none
    seed = json.loads((source.parent / "training.json").read_text())["seed"]
    return SeedResult(
        seed=seed,
        folder=source.parent,
        validation=round(float(np.mean(right)), 4),
        test=round(int8.accuracy, 4),
        keras_test=round(keras.accuracy, 4),
        agreement=round(int8.parity.agreement, 4),
        broken=tuple(conversion.broken),
    )


def chosen(results: Sequence[SeedResult]) -> SeedResult | None:
    """Return the result to ship: the best on validation images, the first of equals; None if no gate holds."""
    sound = [result for result in results if not result.broken]
    return max(sound, key=lambda result: result.validation) if sound else None


def seed_facts(results: Sequence[SeedResult]) -> dict[str, Any]:
    """Return all figures as JSON values: each seed's, mean and sample standard deviation, and the choice."""
    choice = chosen(results)
    rows = [{key: value for key, value in asdict(result).items() if key != "folder"} for result in results]
    figures = {key: [float(row[key]) for row in rows] for key in ("validation", "test", "agreement")}
    return {
        "seeds": rows,
        "mean": {key: round(statistics.mean(values), 5) for key, values in figures.items()},
        "standard_deviation": {key: round(statistics.stdev(values), 5) for key, values in figures.items()},
        "chosen_seed": None if choice is None else choice.seed,
        "chosen_by": "accuracy of the int8 file on the 5,000 validation images",
        "test_evaluations": len(rows),
    }


def seed_table(results: Sequence[SeedResult]) -> str:
    """Return the figures as lines for people."""
    facts = seed_facts(results)
    lines = ["int8 files   validation    test  same label as Keras"]
    for result in results:
        mark = "  <- chosen" if result.seed == facts["chosen_seed"] else ""
        gate = "  gate not held" if result.broken else ""
        title = f"seed {result.seed}"
        lines.append(f"{title:12} {result.validation:10.4f}  {result.test:.4f}  {result.agreement:19.2%}{mark}{gate}")
    for title, key in (("mean", "mean"), ("deviation", "standard_deviation")):
        row = facts[key]
        lines.append(f"{title:12} {row['validation']:10.4f}  {row['test']:.4f}  {row['agreement']:19.2%}")
    return "\n".join(lines)
