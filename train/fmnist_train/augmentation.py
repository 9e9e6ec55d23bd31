"""What training does to an image before the network sees it."""

from __future__ import annotations

from typing import Any, Final

from fmnist_edge.contract import IMAGE_SIDE
from fmnist_train.backend import tf

# How far a teacher's images are moved: a garment so moved is still drawn as the dataset draws.
SHIFT: Final = 1.5  # pixels, at most
SCALE: Final = 0.05  # at most, each side by itself
TURN: Final = 0.04  # radians, standard deviation
MIXED: Final = 0.5  # share of the images that are mixed with another (Zhang et al. 2018)


def mirror(images: Any, chosen: Any) -> Any:
    """Return uint8 [n, 28, 28] images with the chosen ones (bool [n]) mirrored left to right.

    A garment mirrored is a garment, and shoes, which all point left in the dataset, should not have to.
    """
    return tf.where(chosen[:, None, None], tf.reverse(images, axis=[2]), images)


def jitter(images: Any, key: Any) -> Any:
    """Return float32 [n, 28, 28] images mirrored, moved, turned and scaled at random; `key` is int64 [2]."""
    count = tf.shape(images)[0]
    draws = tf.random.stateless_uniform([5, count], key)
    turns = TURN * tf.random.stateless_normal([count], key)
    mirrored = tf.where(draws[0] < 0.5, -1.0, 1.0)
    across, down = 1 + SCALE * (2 * draws[1] - 1), 1 + SCALE * (2 * draws[2] - 1)
    cosine, sine = tf.cos(turns), tf.sin(turns)
    rows = ((mirrored * across * cosine, -down * sine), (mirrored * across * sine, down * cosine))
    centre = (IMAGE_SIDE - 1) / 2
    moves = SHIFT * (2 * draws[3:5] - 1)
    offsets = [centre - centre * (row[0] + row[1]) + move for row, move in zip(rows, (moves[0], moves[1]), strict=True)]
    zeros = tf.zeros([count])
    matrices = tf.stack([*rows[0], offsets[0], *rows[1], offsets[1], zeros, zeros], axis=1)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images[..., None],
        transforms=matrices,
        output_shape=[IMAGE_SIDE, IMAGE_SIDE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return moved[..., 0]


def mix(images: Any, targets: Any, key: Any) -> tuple[Any, Any]:
    """Return images, float32 [n, 28, 28], and targets, float32 [n, 10], with MIXED of them blended with another."""
    draws = tf.random.stateless_uniform([2, tf.shape(images)[0]], key + 1)
    share = tf.where(draws[0] < MIXED, draws[1], 1.0)[:, None]
    other = 1 - share
    blended = share[..., None] * images + other[..., None] * tf.reverse(images, [0])
    return blended, share * targets + other * tf.reverse(targets, [0])
