"""A whole tuning of the segmenter on photos: fit heads on its drawings, tune it through them, measure, write."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fmnist_edge.dataset import load_split
from fmnist_edge.download import find_photos
from fmnist_train.backend import keras, use_one_thread
from fmnist_train.photo.composites import CompositePool
from fmnist_train.photo.drawing import thumbnail
from fmnist_train.photo.head_fitting import fit_head, with_logits
from fmnist_train.photo.head_pictures import PROCESSES, draw_head_pictures
from fmnist_train.photo.photo_record import begin_record, write_part
from fmnist_train.photo.photos import fold, read_photo, train_photos
from fmnist_train.photo.pools import draw_pool
from fmnist_train.photo.progress import Report, fitting
from fmnist_train.photo.ranges import activation_ranges
from fmnist_train.photo.recipes import TuningRecipe
from fmnist_train.photo.segmenter_training import MEASURED, MODEL_FILE, RECORD_FILE, PhotoTraining, mean_iou
from fmnist_train.photo.segmenter_tuning import tune_segmenter
from fmnist_train.photo.taps import DrawingRule, Photo

POOL_SEED_STEP = 2_000_000  # keeps these composites apart from those of the segmenter's first training


def train_tuned_segmenter(
    recipe: TuningRecipe,
    seed: int,
    output: Path,
    segmenter: Path,
    *,
    data: Path | None = None,
    photos: Path | None = None,
    report: Report = lambda _line: None,
) -> PhotoTraining:
    """Tune the segmenter of a .keras file on the train photos and write it and its record into `output`.

    The fold that heads are judged by is left out, so that it judges this, too. Deterministic for a seed on one
    machine. Raises DataError, OutputError.
    """
    use_one_thread()
    folder = find_photos(photos)
    heads = _heads(recipe, seed, segmenter, data, folder, report)
    listed = train_photos(folder)
    fit, _ = fold(listed.classes)
    pictures = [_reduced(read_photo(listed.paths[row]), recipe.long_side) for row in fit]
    model = keras.models.load_model(segmenter, compile=False)
    pool = draw_pool(load_split("train", data), recipe.composites, recipe.pool, seed + POOL_SEED_STEP, PROCESSES)
    report(f"drew {recipe.pool:,} composites")
    on_part = fitting(report, "segmenter", recipe.steps)
    losses = tune_segmenter(model, heads, pictures, listed.allowed[fit], pool, recipe, seed, on_part)
    record = begin_record("segmenter", recipe.name, asdict(recipe), seed)
    record |= _told(model, segmenter, pool, pictures)
    record["mean_iou"] = {"held_out_composites": _overlap(model, recipe, seed, data)}
    record["loss"] = losses
    return PhotoTraining(record, write_part(model, record, output, MODEL_FILE, RECORD_FILE))


def _heads(
    recipe: TuningRecipe, seed: int, segmenter: Path, data: Path | None, folder: Path, report: Report
) -> list[Any]:
    """Return heads fitted on drawings of the photos outside the fold, as functions to logits."""
    sources = draw_head_pictures(recipe.head, seed, segmenter, data, folder, report).fold
    heads = []
    for number in range(recipe.heads):
        on_part = fitting(report, f"head {number + 1}", recipe.head.steps)
        heads.append(with_logits(fit_head(sources, recipe.head, seed + number, on_part)[0]))
    return heads


def _reduced(photo: Photo, long_side: int) -> Photo:
    image = Image.fromarray(photo)
    image.thumbnail((long_side, long_side), Image.Resampling.BOX)
    return np.asarray(image)


def _told(model: Any, segmenter: Path, pool: CompositePool, photos: Sequence[Photo]) -> dict[str, Any]:
    """Return what conversion and readers need to know: ranges on composites and photos, rule, origin."""
    rule = DrawingRule()
    some = photos[:: max(1, len(photos) // MEASURED)]
    seen = np.concatenate([pool.photos[:MEASURED], np.stack([thumbnail(photo, rule) for photo in some])])
    return {
        "training_data": "drawn scenes with garments of 55,000 Fashion-MNIST training images; then the labels, not "
        f"masks, of {len(photos):,} train photos of clothing-dataset-small (CC0)",
        "drawing": asdict(rule),
        "ranges": activation_ranges(model, seen.astype(np.float32)),
        "parameters": int(model.count_params()),
        "tuned_from_sha256": hashlib.sha256(segmenter.read_bytes()).hexdigest(),
    }


def _overlap(model: Any, recipe: TuningRecipe, seed: int, data: Path | None) -> float:
    return round(mean_iou(model, draw_pool(load_split("validation", data), recipe.composites, 512, seed)), 4)
