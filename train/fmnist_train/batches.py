"""Batches whose order, augmentation and dropout are a pure function of the seed and the epoch.

No generator with a state of its own stands behind them, so a training that was interrupted after any epoch goes on
with exactly the batches it would have seen.
"""

from __future__ import annotations

from typing import Any

from fmnist_edge.dataset import Split
from fmnist_train.augmentation import mirror
from fmnist_train.backend import keras, tf
from fmnist_train.recipes import Recipe


class EpochClock(keras.callbacks.Callback):
    """Tells the batches which epoch it is: Keras makes a new iterator each epoch, after this has run."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch, counted from 0."""
        self.epoch.assign(epoch)


class DropoutClock(keras.callbacks.Callback):
    """Makes dropout, too, a function of seed and epoch.

    A dropout layer keeps a seed and the number of masks it has drawn, one a step. Keras saves neither with the
    weights (3.15), so a resumed training would draw the masks of the first epochs again: set the number.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set how many masks have been drawn before this epoch."""
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                state = layer.seed_generator.state
                state.assign([keras.ops.convert_to_numpy(state)[0], epoch * self._steps])


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the number of batches that `images` images make; the last may be smaller."""
    return -(-images // batch_size)


def draw_order(images: int, seed: int, epoch: Any) -> Any:
    """Return the order in which an epoch sees the images: a permutation of 0..images-1, int32 [images]."""
    return tf.random.experimental.stateless_shuffle(tf.range(images), seed=_key(seed, epoch, stream=0))


def draw_flips(images: int, seed: int, epoch: Any) -> Any:
    """Return which positions of an epoch are mirrored: bool [images], each with probability 1/2."""
    return tf.random.stateless_uniform([images], seed=_key(seed, epoch, stream=1)) < 0.5


def training_batches(split: Split, recipe: Recipe, seed: int, epoch: Any) -> Any:
    """Return a tf.data.Dataset of one epoch: (uint8 [n, 28, 28] images, int32 [n] labels) batches.

    `epoch` is read when an iterator is made (an int, or the variable of an EpochClock).
    """
    images, labels = tf.constant(split.images), tf.constant(split.labels.astype("int32"))
    count, size = len(split.labels), recipe.batch_size

    def one_epoch(_: Any) -> Any:
        order, flips = draw_order(count, seed, epoch), draw_flips(count, seed, epoch)

        def batch(start: Any) -> tuple[Any, Any]:
            chosen = order[start : start + size]
            batch_images = tf.gather(images, chosen)
            if recipe.horizontal_flips:
                batch_images = mirror(batch_images, flips[start : start + size])
            return batch_images, tf.gather(labels, chosen)

        return tf.data.Dataset.range(0, count, size).map(batch)

    steps = tf.data.experimental.assert_cardinality(steps_per_epoch(count, size))
    return tf.data.Dataset.range(1).flat_map(one_epoch).apply(steps)


def _key(seed: int, epoch: Any, stream: int) -> Any:
    """Return the key, int64 [2], of one of the random streams of an epoch."""
    return tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64) * 2 + stream])
