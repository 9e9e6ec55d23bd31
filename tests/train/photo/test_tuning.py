"""Tuning the segmenter by labels: what flows through the drawing, and what a whole tuning writes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_convert.original import open_segmenter
from fmnist_train.backend import tf
from fmnist_train.photo.drawing import rendered
from fmnist_train.photo.recipes import TUNING_RECIPES
from fmnist_train.photo.soft_drawing import drawn, pictures
from fmnist_train.photo.taps import DrawingRule
from fmnist_train.photo.tuned_training import train_tuned_segmenter

from .conftest import PHOTO_HEAD

RULE = DrawingRule()


def _photos_and_logits() -> tuple[list[Any], Any]:
    random = np.random.default_rng(0)
    photos = [random.integers(0, 256, shape, np.uint8) for shape in ((120, 90, 3), (60, 200, 3))]
    y, x = np.mgrid[0:96, 0:96].astype(np.float32)
    logits = np.stack([6 - ((y - 40) ** 2 + (x - 50) ** 2) / 90, 5 - ((y - 50) ** 2 / 200 + (x - 30) ** 2 / 40)])
    return photos, np.clip(logits, -20, 20).astype(np.float32)


def test_the_soft_drawing_draws_what_the_drawing_draws() -> None:
    photos, logits = _photos_and_logits()
    soft = np.asarray(pictures(logits, drawn(photos, logits, RULE), RULE))
    for photo, one, found in zip(photos, logits, soft, strict=True):
        assert np.abs(rendered(photo, one, RULE).picture - found).max() <= 0.51  # rounding to bytes alone


def test_its_gradient_reaches_the_cells_around_the_mask_and_no_farther() -> None:
    photos, logits = _photos_and_logits()
    fixed = drawn(photos, logits, RULE)
    with tf.GradientTape() as tape:
        tape.watch(variable := tf.constant(logits))
        total = tf.reduce_sum(pictures(variable, fixed, RULE))
    gradient = np.abs(tape.gradient(total, variable).numpy())
    edge = (fixed.near > 0) & (fixed.kept == 0)
    inside_box = fixed.rows.sum(1)[:, :, None] * fixed.columns.sum(1)[:, None, :] > 0
    assert (gradient[edge & inside_box] > 0).mean() > 0.9
    assert gradient[fixed.near == 0].max() == 0


def test_a_tuning_changes_the_segmenter_and_leaves_the_fold_out(
    few_photos: Path, segmenter: Any, tmp_path: Path
) -> None:
    head = replace(PHOTO_HEAD, steps=10)
    recipe = replace(TUNING_RECIPES["photos"], head=head, heads=1, pool=12, steps=10, batch=2)
    training = train_tuned_segmenter(recipe, 5, tmp_path, segmenter.files[0], photos=few_photos)
    record = open_segmenter(training.files[0]).record
    assert record["recipe"] == "photos" and record["drawing"] and record["ranges"]["scale"] == [-2.0, 2.0]
    assert record["tuned_from_sha256"] == hashlib.sha256(segmenter.files[0].read_bytes()).hexdigest()
    assert "of 20 train photos" in record["training_data"]  # 60 of each of 7 classes, 400 of them in the fold
    before, after = (open_segmenter(path).model.get_weights() for path in (segmenter.files[0], training.files[0]))
    assert any(not np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    again = train_tuned_segmenter(recipe, 5, tmp_path / "again", segmenter.files[0], photos=few_photos)
    assert again.files[0].read_bytes() == training.files[0].read_bytes()
