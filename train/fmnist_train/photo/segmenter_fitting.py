"""From composites to a trained segmenter, by Keras's own `fit`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_train.backend import keras
from fmnist_train.photo.composites import CompositePool
from fmnist_train.photo.progress import PARTS, OnPart
from fmnist_train.photo.recipes import SegmenterRecipe
from fmnist_train.photo.segmenter import build, folded

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating]


def fit_segmenter(pool: CompositePool, recipe: SegmenterRecipe, seed: int, on_part: OnPart) -> tuple[Any, list[float]]:
    """Return a trained segmenter, its batch normalisation folded, and the loss of each tenth of the training."""
    keras.utils.set_random_seed(seed)
    model = build(recipe.widths)
    optimizer = keras.optimizers.AdamW(_rate(recipe), weight_decay=recipe.weight_decay, clipnorm=1.0)
    model.compile(optimizer, loss=loss, jit_compile=False)
    steps = max(1, recipe.steps // PARTS)
    report = keras.callbacks.LambdaCallback(on_epoch_end=lambda part, logs: on_part(part + 1, logs["loss"]))
    history = model.fit(
        batches(pool, recipe.batch, seed),
        steps_per_epoch=steps,
        epochs=PARTS,
        shuffle=False,
        verbose=0,
        callbacks=[report],
    )
    return folded(model, recipe.widths), [round(float(value), 6) for value in history.history["loss"]]


def _rate(recipe: SegmenterRecipe) -> Any:
    """Return the learning rate's schedule: up in a twentieth of the steps, then down a half cosine to a hundredth."""
    warm = max(1, recipe.steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 20,
        max(1, recipe.steps - warm),
        alpha=0.01,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm,
    )


def loss(truth: Any, logits: Any) -> Any:
    """Return cross-entropy plus half of soft Dice (Milletari et al. 2016), which keeps thin sleeves from vanishing."""
    ops = keras.ops
    entropy = ops.mean(keras.losses.binary_crossentropy(truth[..., None], logits[..., None], from_logits=True))
    p = ops.sigmoid(logits)
    overlap = 2 * ops.sum(p * truth, (1, 2)) + 1
    return entropy + 0.5 * (1 - ops.mean(overlap / (ops.sum(p, (1, 2)) + ops.sum(truth, (1, 2)) + 1)))


def batches(pool: CompositePool, size: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield batches without end: photos float32 [size, 96, 96, 3] in 0..255, masks float32 [size, 96, 96] in 0..1."""
    rng = np.random.default_rng(seed)
    while True:
        picked = rng.choice(len(pool.photos), size)
        pairs = [_varied(rng, pool.photos[i], pool.masks[i]) for i in picked]
        yield np.stack([photo for photo, _ in pairs]), np.stack([mask for _, mask in pairs])


def _varied(rng: np.random.Generator, photo: Bytes, mask: Bytes) -> tuple[Floats, Floats]:
    """Return a composite flipped, zoomed and changed in colour, each at times."""
    if rng.random() < 0.5:
        photo, mask = photo[:, ::-1], mask[:, ::-1]
    if rng.random() < 0.5:
        photo, mask = _zoomed(rng, photo, mask)
    colours = photo.astype(np.float32) / 255
    colours = colours ** np.float32(np.exp(rng.normal(0, 0.15)))
    colours = colours * np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    if rng.random() < 0.15:
        colours = colours[..., rng.permutation(3)]
    return np.clip(colours, 0, 1) * 255, mask.astype(np.float32) / 255


def _zoomed(rng: np.random.Generator, photo: Bytes, mask: Bytes) -> tuple[Bytes, Bytes]:
    """Return nearest-neighbour zooms by 0.83..1.18 with mirrored borders: no pool is learned by heart so."""
    size = len(mask)
    index = []
    for _ in range(2):
        step = rng.uniform(0.85, 1.2)
        raw = np.floor((np.arange(size) + 0.5 - size / 2) * step + size / 2 + rng.uniform(-5, 5)).astype(int)
        index.append(np.where(raw < 0, -1 - raw, np.where(raw >= size, 2 * size - 1 - raw, raw)).clip(0, size - 1))
    return photo[index[0]][:, index[1]], mask[index[0]][:, index[1]]
