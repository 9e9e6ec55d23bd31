"""From pictures to a trained photo head, by Keras's own `fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import IMAGE_SIDE, OUTPUT_NAME
from fmnist_train.backend import keras
from fmnist_train.model import HIDDEN, SCALING, build_model
from fmnist_train.photo.pictures import PictureRecipe, varied
from fmnist_train.photo.progress import PARTS, OnPart
from fmnist_train.photo.recipes import HeadRecipe

Targets = NDArray[np.float32]
"""[n, 10]: 1 for every label that is right, else 0; all 1 for what is no garment."""
NAME: Final = "fmnist-photo-head"
WARM_UP: Final = 200  # steps; the third study's


@dataclass(frozen=True, eq=False)
class Source:
    """One kind of training pictures."""

    pictures: NDArray[np.uint8]
    """[views, n, 28, 28]: of each of n things one or more pictures."""
    targets: Targets
    rows: int
    """Of a batch."""
    changes: PictureRecipe
    weights: NDArray[np.float64] | None = None
    """[n]: how often each thing is drawn, in proportion; None for all alike."""


def fit_head(sources: Sequence[Source], recipe: HeadRecipe, seed: int, on_part: OnPart) -> tuple[Any, list[float]]:
    """Return a trained head, its weights averaged over the last steps, and the loss of each tenth of the training.

    The head is the classifier's own network (see `model.build_model`) under another name.
    """
    keras.utils.set_random_seed(seed)
    head = build_model(NAME)
    trainer = with_logits(head)
    optimizer = keras.optimizers.AdamW(
        _rate(recipe), weight_decay=recipe.weight_decay, use_ema=True, ema_momentum=recipe.averaging
    )
    trainer.compile(optimizer, loss=loss(recipe.smoothing), jit_compile=False)
    report = keras.callbacks.LambdaCallback(on_epoch_end=lambda part, logs: on_part(part + 1, logs["loss"]))
    history = trainer.fit(
        batches(sources, seed),
        steps_per_epoch=max(1, recipe.steps // PARTS),
        epochs=PARTS,
        shuffle=False,
        verbose=0,
        callbacks=[report],
    )
    optimizer.finalize_variable_values(trainer.trainable_variables)
    return head, [round(float(value), 6) for value in history.history["loss"]]


def _rate(recipe: HeadRecipe) -> Any:
    warm = min(WARM_UP, max(1, recipe.steps // 10))
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 20,
        max(1, recipe.steps - warm),
        alpha=0.002,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm,
    )


def with_logits(head: Any) -> Any:
    """Return a model on the head's own layers from pictures, float32 [n, 28, 28] in 0..255, to logits [n, 10]."""
    pixels = keras.Input((IMAGE_SIDE, IMAGE_SIDE), name="pixels")
    signal = keras.layers.Flatten()(keras.layers.Rescaling(SCALING)(pixels))
    return keras.Model(pixels, _Logits(head.get_layer(OUTPUT_NAME))(head.get_layer(HIDDEN)(signal)))


class _Logits(keras.layers.Layer):
    """A softmax layer without its softmax (in training only, never saved)."""

    def __init__(self, dense: Any) -> None:
        super().__init__()
        self.dense = dense

    def call(self, x: Any) -> Any:
        """Return logits, float32 [n, 10]."""
        return keras.ops.matmul(x, self.dense.kernel) + self.dense.bias


def loss(smoothing: float) -> Callable[[Any, Any], Any]:
    """Return the loss: -ln of the summed probability of the right labels, with `smoothing` towards uniform.

    Rows in which every label is right (no garment) ask for the uniform answer alone.
    """

    def of(allowed: Any, logits: Any) -> Any:
        ops = keras.ops
        log_p = ops.log_softmax(logits)
        right = -ops.logsumexp(ops.where(allowed > 0, log_p, -1e9), -1)
        flat = -ops.mean(log_p, -1)
        share = ops.maximum(ops.cast(ops.min(allowed, -1) > 0, "float32"), smoothing)
        return ops.mean((1 - share) * right + share * flat)

    return of


def batches(sources: Sequence[Source], seed: int) -> Iterator[tuple[NDArray[np.float32], Targets]]:
    """Yield batches without end, each with the given number of rows of each source, every picture changed anew."""
    rng = np.random.default_rng(seed)
    while True:
        drawn = [_drawn(rng, source) for source in sources]
        yield np.concatenate([x for x, _ in drawn]), np.concatenate([y for _, y in drawn])


def _drawn(rng: np.random.Generator, source: Source) -> tuple[NDArray[np.float32], Targets]:
    views, count = source.pictures.shape[:2]
    if source.weights is None:
        thing = rng.integers(0, count, source.rows)
    else:
        reached = np.cumsum(source.weights)
        thing = np.searchsorted(reached, rng.random(source.rows) * reached[-1], side="right")
    view = rng.integers(0, views, source.rows)
    return varied(rng, source.pictures[view, thing], source.changes), source.targets[thing]
