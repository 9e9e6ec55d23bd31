"""Tuning a trained segmenter on photos that have labels but no masks: masks are better that are named rightly.

Heads are fitted on what the segmenter draws, then held fixed while the segmenter learns, through the drawing, to make
them right. Composites with true masks, and what the segmenter was sure of before, keep the masks honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_train.backend import keras, tf
from fmnist_train.photo.composites import CompositePool
from fmnist_train.photo.drawing import thumbnail
from fmnist_train.photo.head_fitting import loss as label_loss
from fmnist_train.photo.jitter import jittered
from fmnist_train.photo.progress import PARTS, OnPart
from fmnist_train.photo.recipes import TuningRecipe
from fmnist_train.photo.segmenter_fitting import batches
from fmnist_train.photo.segmenter_fitting import loss as mask_loss
from fmnist_train.photo.soft_drawing import Drawn, drawn, pictures
from fmnist_train.photo.taps import DrawingRule, Photo


def tune_segmenter(
    model: Any,
    heads: Sequence[Any],
    photos: Sequence[Photo],
    allowed: NDArray[np.bool_],
    pool: CompositePool,
    recipe: TuningRecipe,
    seed: int,
    on_part: OnPart,
) -> list[float]:
    """Change the weights of a segmenter in place; return the mean label loss of each tenth of the steps.

    `heads` map pictures, float32 [n, 28, 28] in 0..255, to logits [n, 10]; `allowed`, bool [n, 10], are the right
    labels of the n photos.
    """
    keras.utils.set_random_seed(seed)
    rng, composites = np.random.default_rng(seed), batches(pool, recipe.batch, seed)
    step, forward = _step(model, heads, recipe), _forward(model)
    losses: list[float] = []
    for part in range(PARTS):
        done = []
        for _ in range(max(1, recipe.steps // PARTS)):
            rows = rng.integers(0, len(photos), recipe.batch)
            changed = [jittered(rng, photos[row], recipe.jitter) for row in rows]
            small = np.stack([thumbnail(photo, DrawingRule()) for photo in changed]).astype(np.float32)
            fixed = drawn(changed, forward(small).numpy(), DrawingRule())
            done.append(float(step(*next(composites), small, fixed, allowed[rows].astype(np.float32))))
        losses.append(round(float(np.mean(done)), 6))
        on_part(part + 1, losses[-1])
    return losses


def _forward(model: Any) -> Any:
    size = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)
    return tf.function(lambda thumbnails: model(thumbnails, training=False), input_signature=[size])


def _step(model: Any, heads: Sequence[Any], recipe: TuningRecipe) -> Any:
    """Return a function that takes one step on a batch of composites and one of photos and gives the label loss."""
    before = keras.models.clone_model(model)
    before.set_weights(model.get_weights())
    optimizer = keras.optimizers.AdamW(_rate(recipe), weight_decay=recipe.weight_decay, clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    named = label_loss(0.0)

    @tf.function
    def graph(composites: Any, masks: Any, small: Any, fixed: tuple[Any, ...], allowed: Any) -> Any:
        sure = keras.ops.sigmoid(before(small, training=False))
        with tf.GradientTape() as tape:
            logits = model(keras.ops.concatenate([composites, small]), training=True)
            of_composites, of_photos = logits[: recipe.batch], logits[recipe.batch :]
            drawings = pictures(of_photos, Drawn(*fixed), DrawingRule())
            label = sum(named(allowed, head(drawings, training=False)) for head in heads) / len(heads)
            total = mask_loss(masks, of_composites) + recipe.label_share * label
            total = total + recipe.memory_share * _kept(sure, of_photos)
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return label

    def step(composites: Any, masks: Any, small: Any, fixed: Drawn, allowed: Any) -> Any:
        parts = (fixed.kept, fixed.near, fixed.rows, fixed.columns, fixed.tone)
        return graph(*(tf.constant(x, tf.float32) for x in (composites, masks, small)), parts, allowed)

    return step


def _kept(before: Any, logits: Any) -> Any:
    """Return the cross-entropy to the first masks where those were sure: under 0.15 or over 0.85."""
    ops = keras.ops
    true = ops.cast(before > 0.5, "float32")
    entropy = ops.softplus(logits) - true * logits
    return ops.mean(entropy * ops.cast(ops.abs(before - 0.5) > 0.35, "float32"))


def _rate(recipe: TuningRecipe) -> Any:
    warm = max(1, min(50, recipe.steps // 10))
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 10,
        max(1, recipe.steps - warm),
        alpha=0.05,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm,
    )
