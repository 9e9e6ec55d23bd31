"""A whole training of the segmenter: draw composites, fit, measure the activations' ranges, write."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fmnist_edge.dataset import load_split
from fmnist_train.backend import use_one_thread
from fmnist_train.photo.composites import CompositePool
from fmnist_train.photo.photo_record import begin_record, write_part
from fmnist_train.photo.pools import draw_pool
from fmnist_train.photo.progress import Report, counting, fitting
from fmnist_train.photo.ranges import activation_ranges
from fmnist_train.photo.recipes import SegmenterRecipe
from fmnist_train.photo.segmenter_fitting import fit_segmenter
from fmnist_train.photo.taps import DrawingRule

MODEL_FILE: Final = "fmnist-photo-segmenter.keras"
RECORD_FILE: Final = "fmnist-photo-segmenter.training.json"
PROCESSES: Final = 2  # that draw composites
MEASURED: Final = 512  # composites of the pool that the activations' ranges are measured on


@dataclass(frozen=True, eq=False)
class PhotoTraining:
    """A finished training of a part of the photo model and where its files lie."""

    record: dict[str, Any]
    files: tuple[Path, ...]


def train_segmenter(
    recipe: SegmenterRecipe, seed: int, output: Path, *, data: Path | None = None, report: Report = lambda _line: None
) -> PhotoTraining:
    """Train the segmenter and write its .keras file and record into `output`.

    Deterministic for a seed on one machine. Sees training images of Fashion-MNIST alone. Raises DataError, OutputError.
    """
    use_one_thread()
    pool, held_out = _composites(recipe, seed, data, report)
    model, losses = fit_segmenter(pool, recipe, seed, fitting(report, "segmenter", recipe.steps))
    record = begin_record("segmenter", recipe.name, asdict(recipe), seed)
    record["training_data"] = (
        f"{recipe.pool:,} drawn scenes with garments of 55,000 Fashion-MNIST training images; no photo"
    )
    record["drawing"] = asdict(DrawingRule())
    record["ranges"] = activation_ranges(model, pool.photos[:MEASURED].astype(np.float32))
    record["parameters"] = int(model.count_params())
    record["loss"] = losses
    overlap = round(mean_iou(model, held_out), 4)
    record["mean_iou"] = {"held_out_composites": overlap}
    report(f"mean intersection over union on {recipe.held_out} held-out composites: {overlap:.4f}")
    return PhotoTraining(record, write_part(model, record, output, MODEL_FILE, RECORD_FILE))


def mean_iou(model: Any, pool: CompositePool) -> float:
    """Return the mean over composites of intersection / union of the masks, both cut at one half, 0..1."""
    found = model.predict(pool.photos.astype(np.float32), batch_size=64, verbose=0) > 0
    true = pool.masks > 127
    return float(np.mean((found & true).sum((1, 2)) / np.maximum((found | true).sum((1, 2)), 1)))


def _composites(recipe: SegmenterRecipe, seed: int, data: Path | None, report: Report) -> tuple[CompositePool, ...]:
    """Return the pool to train on, of training images, and the one to measure on, of validation images."""
    train, validation = load_split("train", data), load_split("validation", data)
    pool = draw_pool(
        train, recipe.composites, recipe.pool, seed, PROCESSES, counting(report, "composites", recipe.pool)
    )
    return pool, draw_pool(validation, recipe.composites, recipe.held_out, seed)
