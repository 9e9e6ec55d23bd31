"""The teacher: a small convolutional network whose judgement the classifier learns, and which is then thrown away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import IMAGE_SIDE, LABELS
from fmnist_edge.dataset import Split
from fmnist_train.augmentation import jitter, mix
from fmnist_train.backend import keras, tf
from fmnist_train.batches import EpochClock, draw_order
from fmnist_train.recipes import TeacherRecipe

# Products in bfloat16, weights and sums in float32: 66 ms a step against 192 on a CPU that has bfloat16 units (AMX).
PRECISION: Final = "mixed_bfloat16"
CHANNELS: Final = (32, 64, 64, 128, 128)  # 278,986 parameters
SEED_STREAM: Final = 7919  # keeps the teacher's random numbers apart from the classifier's

OnTeacherEpoch = Callable[[str], None]
"""Told a line after each epoch of the teacher."""


def build_teacher() -> Any:
    """Return a freshly initialised teacher: uint8 [n, 28, 28] images to float32 [n, 10] logits."""
    stem, *narrow_and_wide = CHANNELS
    image = keras.Input((IMAGE_SIDE, IMAGE_SIDE), dtype="uint8", name="image")
    signal = keras.layers.Rescaling(1 / 255)(image)
    signal = keras.layers.Reshape((IMAGE_SIDE, IMAGE_SIDE, 1))(signal)
    signal = _convolution(signal, stem, side=5, stride=2)
    for place, channels in enumerate(narrow_and_wide):
        if place == 2:
            signal = keras.layers.MaxPooling2D()(signal)
        signal = _convolution(signal, channels)
    signal = keras.layers.GlobalAveragePooling2D(dtype="float32")(signal)
    signal = keras.layers.Dropout(0.2)(signal)
    return keras.Model(image, keras.layers.Dense(len(LABELS))(signal), name="teacher")


def train_teacher(recipe: TeacherRecipe, split: Split, seed: int, on_epoch: OnTeacherEpoch) -> Any:
    """Train a teacher on augmented images of a split: mirrored, moved, turned, scaled, and half of them mixed."""
    keras.utils.set_random_seed(seed)
    teacher = build_teacher()
    steps = len(split.labels) // recipe.batch_size
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / 20,
        warmup_target=recipe.learning_rate,
        warmup_steps=max(1, steps * recipe.epochs // 4),
        decay_steps=max(1, steps * recipe.epochs * 3 // 4),
        alpha=1e-3,
    )
    teacher.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps,
        jit_compile=False,
    )
    clock = EpochClock()
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch(
            f"teacher, epoch {epoch + 1}/{recipe.epochs}: loss {logs['loss']:.4f}, accuracy {logs['accuracy']:.4f}"
        )
    )
    batches = teacher_batches(split, recipe.batch_size, seed, clock.epoch)
    teacher.fit(batches, epochs=recipe.epochs, shuffle=False, verbose=0, callbacks=[clock, report])
    return teacher


def teacher_batches(split: Split, size: int, seed: int, epoch: Any) -> Any:
    """Return a tf.data.Dataset of one epoch of augmented (float32 [n, 28, 28], 0..255; float32 [n, 10]) batches.

    A pure function of seed and epoch, as the classifier's are; what fills no batch is left out.
    """
    images, labels = tf.constant(split.images), tf.one_hot(split.labels, len(LABELS))
    count = len(split.labels)
    steps = count // size

    def one_epoch(_: Any) -> Any:
        order = draw_order(count, seed + SEED_STREAM, epoch)

        def batch(step: Any) -> tuple[Any, Any]:
            key = tf.stack([tf.constant(seed + SEED_STREAM, tf.int64), tf.cast(epoch, tf.int64) * steps + step])
            chosen = order[step * size : (step + 1) * size]
            moved = jitter(tf.cast(tf.gather(images, chosen), tf.float32), key)
            return mix(moved, tf.gather(labels, chosen), key)

        return tf.data.Dataset.range(steps).map(batch)

    return tf.data.Dataset.range(1).flat_map(one_epoch).apply(tf.data.experimental.assert_cardinality(steps))


def judge(teacher: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the teacher's logits, float32 [n, 10], for uint8 [n, 28, 28] images: the mean of each and its mirror."""
    both = [teacher.predict(side, batch_size=500, verbose=0) for side in (images, images[:, :, ::-1])]
    return np.asarray((both[0] + both[1]) / 2, np.float32)


def _convolution(signal: Any, channels: int, side: int = 3, stride: int = 1) -> Any:
    layer = keras.layers.Conv2D(
        channels,
        side,
        strides=stride,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        dtype=PRECISION,
    )
    return layer(signal)
