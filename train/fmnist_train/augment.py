"""Batches for the photo model: pictures drawn, cut out, moved, recoloured, erased; a pure function of seed and step.

Every batch has the same make-up: pictures of the collections, garments cut out of white grounds and laid on others,
Fashion-MNIST's own images, and drawn pictures of no garment. All is computed in TensorFlow, a batch at a time.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.model_info import LABELS
from fmnist_train.backend import tf
from fmnist_train.recipes import Augmentation
from fmnist_train.stock import Stock

SHOES: Final = (5, 7, 9)
NOISES: Final = 256  # pictures of noise made once: to draw them anew would take a fifth of a batch's time


class Draws:
    """A stream of random tensors, a pure function of its key: each call takes the next one."""

    def __init__(self, key: Any) -> None:
        self._key = key
        self._count = 0

    def _next(self) -> Any:
        self._count += 1
        return self._key + tf.constant([0, self._count], tf.int64)

    def uniform(self, shape: list[int], low: float = 0.0, high: float = 1.0) -> Any:
        """Return float32 of that shape in low..high."""
        return tf.random.stateless_uniform(shape, self._next(), low, high)

    def normal(self, shape: list[int], deviation: float = 1.0) -> Any:
        """Return float32 of that shape around 0."""
        return tf.random.stateless_normal(shape, self._next(), stddev=deviation)

    def chance(self, count: int, share: float) -> Any:
        """Return float32 [count] of 0 and 1, each 1 with probability `share`."""
        return tf.cast(self.uniform([count]) < share, tf.float32)

    def rows(self, cumulative: Any, count: int) -> Any:
        """Return int32 [count] row numbers, by cumulative weights that end in 1."""
        return tf.searchsorted(cumulative, self.uniform([count]))

    def order(self, count: int) -> Any:
        """Return a permutation, int32 [count]."""
        return tf.random.experimental.stateless_shuffle(tf.range(count), self._next())


class Batches:
    """Makes (float32 [n, side, side, 3] 0..255, accepted float32 [n, 10]) batches from a stock."""

    def __init__(self, stock: Stock, side: int, size: int, seed: int, augmentation: Augmentation) -> None:
        self._side, self._size, self._seed = side, size, seed
        self._cuts = bool(len(stock.cut_outs) and len(stock.grounds))
        self._set(augmentation)
        self._pictures, self._accepted = tf.constant(stock.pictures), tf.constant(stock.accepted)
        self._cumulative = _cumulative(stock.weights)
        self._images = tf.constant(stock.images.images)
        self._image_accepted = tf.one_hot(stock.images.labels.astype(np.int32), len(LABELS))
        self._no_garment = tf.constant(stock.drawn)
        self._noises = Draws(tf.constant([seed, 0], tf.int64)).normal([NOISES, side, side, 3])
        if self._cuts:
            self._cut_outs, self._grounds = tf.constant(stock.cut_outs), tf.constant(stock.grounds)
            self._cut_accepted = tf.constant(stock.accepted[stock.cut_rows])
            self._cut_cumulative = _cumulative(stock.weights[stock.cut_rows])

    def changed(self, augmentation: Augmentation) -> Batches:
        """Return batches from the same stock with another augmentation."""
        other = copy.copy(self)
        other._set(augmentation)
        return other

    def _set(self, augmentation: Augmentation) -> None:
        self._how = augmentation
        self._cut = round(self._size * augmentation.cut_out_share) if self._cuts else 0
        self._dataset = round(self._size * augmentation.dataset_share)
        self._drawn = round(self._size * augmentation.drawn_share)
        self._plain = self._size - self._cut - self._dataset - self._drawn

    def batch(self, epoch: Any, step: Any) -> tuple[Any, Any]:
        """Return the batch of a step of an epoch (int64 scalars)."""
        draws = Draws(tf.stack([tf.cast(self._seed, tf.int64), epoch * 2**32 + step * 2**12]))
        parts = [self._plain_part(draws), self._dataset_part(draws), self._drawn_part(draws)]
        if self._cut:
            parts.append(self._cut_part(draws))
        order = draws.order(self._size)
        pictures = tf.gather(tf.concat([part[0] for part in parts], 0), order)
        accepted = tf.gather(tf.concat([part[1] for part in parts], 0), order)
        pictures = _erased(draws, pictures, self._how.erased)
        pictures = _coarser(draws, pictures, self._how.coarse)
        return tf.clip_by_value(_recoloured(draws, pictures, self._how.inverted, self._noises), 0, 255), accepted

    def _plain_part(self, draws: Draws) -> tuple[Any, Any]:
        rows, how = draws.rows(self._cumulative, self._plain), self._how
        scale = draws.uniform([self._plain], how.smallest, how.largest)
        moves = _moves(draws, self._plain, how, scale, how.any_angle)
        return self._moved(tf.gather(self._pictures, rows), moves, "NEAREST"), tf.gather(self._accepted, rows)

    def _dataset_part(self, draws: Draws) -> tuple[Any, Any]:
        count = self._dataset
        rows = tf.cast(draws.uniform([count]) * float(len(self._images)), tf.int32)
        images = tf.gather(self._images, rows)[..., None]
        scale = draws.uniform([count], 0.75, 1.1)
        moves = _moves(draws, count, Augmentation(turn=4.0, shift=0.04, aspect=0.04), scale, 0.0)
        half = count // 2
        smooth = self._moved(images[:half], moves[:half], "NEAREST")
        blocky = self._moved(images[half:], moves[half:], "NEAREST", "NEAREST")
        garment = tf.concat([smooth, blocky], 0) / 255
        return _two_colours(draws, garment), tf.gather(self._image_accepted, rows)

    def _drawn_part(self, draws: Draws) -> tuple[Any, Any]:
        count = self._drawn
        rows = tf.cast(draws.uniform([count]) * float(len(self._no_garment)), tf.int32)
        moves = _moves(draws, count, self._how, draws.uniform([count], 0.7, 1.3), 0.5)
        pictures = self._moved(tf.gather(self._no_garment, rows), moves, "NEAREST")
        return pictures, tf.zeros([count, len(LABELS)])

    def _cut_part(self, draws: Draws) -> tuple[Any, Any]:
        """Lay cut-out garments on other grounds, some shoes as pairs."""
        count, how = self._cut, self._how
        rows = draws.rows(self._cut_cumulative, count)
        accepted = tf.gather(self._cut_accepted, rows)
        shoes = tf.reduce_max(tf.gather(accepted, SHOES, axis=1), axis=1)
        pair = shoes * draws.chance(count, how.pair)
        scale = draws.uniform([count], how.cut_smallest, how.cut_largest) * (1 - 0.35 * pair)
        angle = _angles(draws, count, how.turn, 0.25)
        apart = 0.5 * scale * draws.uniform([count], 0.5, 1.0) * pair
        upright = draws.chance(count, 0.5)
        offset = tf.stack([apart * upright, apart * (1 - upright)], 1) / 2
        where = draws.uniform([count, 2], -1, 1) * tf.maximum(0.05, (1 - scale) / 2)[:, None]
        flip, second_flip = _signs(draws, count), _signs(draws, count)
        garments = tf.gather(self._cut_outs, rows)
        canvas = self._ground(draws, count)
        other = _transforms(scale, angle + draws.normal([count], 0.15), second_flip, where - offset, draws, how.aspect)
        canvas = self._laid(canvas, garments, other, pair)
        first = _transforms(scale, angle, flip, where + offset, draws, how.aspect)
        return self._laid(canvas, garments, first, tf.ones([count])), accepted

    def _ground(self, draws: Draws, count: int) -> Any:
        rows = tf.cast(draws.uniform([count]) * float(len(self._grounds)), tf.int32)
        moves = _transforms(
            draws.uniform([count], 1.0, 1.6),
            _angles(draws, count, 90.0, 0.5),
            _signs(draws, count),
            tf.zeros([count, 2]),
            draws,
            0.1,
        )
        ground = self._moved(tf.gather(self._grounds, rows), moves, "REFLECT")
        plain = draws.chance(count, 0.2)[:, None, None, None]
        colour = draws.uniform([count, 1, 1, 3], 0, 40) + draws.uniform([count, 1, 1, 1], 20, 230)
        return ground * (1 - plain) + colour * plain

    def _laid(self, canvas: Any, garments: Any, moves: Any, present: Any) -> Any:
        """Lay garments (RGB times alpha, alpha) on a canvas, with a soft shadow, where `present` is 1."""
        moved = self._moved(garments, moves, "CONSTANT") * present[:, None, None, None]
        alpha = moved[..., 3:] / 255
        shadow = tf.nn.avg_pool2d(alpha, 7, 1, "SAME")
        shadow = tf.roll(shadow, shift=[2, 1], axis=[1, 2])
        return canvas * (1 - 0.35 * shadow) * (1 - alpha) + moved[..., :3]

    def _moved(self, pictures: Any, moves: Any, fill: str, interpolation: str = "BILINEAR") -> Any:
        """Return float32 [n, side, side, channels]: `moves` float32 [n, 6] in units of the half side."""
        wide = int(pictures.shape[1])
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=pictures,
            transforms=_pixel_transforms(moves, wide, self._side),
            output_shape=tf.constant([self._side, self._side]),
            fill_value=0.0,
            interpolation=interpolation,
            fill_mode=fill,
        )
        return tf.cast(moved, tf.float32)


def _cumulative(weights: NDArray[np.float64]) -> Any:
    total = np.cumsum(weights / weights.sum())
    total[-1] = 1.0
    return tf.constant(total.astype(np.float32))


def _signs(draws: Draws, count: int) -> Any:
    return draws.chance(count, 0.5) * 2 - 1


def _angles(draws: Draws, count: int, degrees: float, any_angle: float) -> Any:
    """Return radians: normal, or any angle for a share of them."""
    usual = draws.normal([count], math.radians(degrees))
    anyhow = draws.chance(count, any_angle)
    return usual * (1 - anyhow) + draws.uniform([count], -math.pi, math.pi) * anyhow


def _moves(draws: Draws, count: int, how: Augmentation, scale: Any, any_angle: float) -> Any:
    angle = _angles(draws, count, how.turn, any_angle)
    where = draws.uniform([count, 2], -how.shift, how.shift)
    return _transforms(scale, angle, _signs(draws, count), where, draws, how.aspect)


def _transforms(scale: Any, angle: Any, flip: Any, where: Any, draws: Draws, aspect: float) -> Any:
    """Return float32 [n, 6]: from the output's coordinates (-1..1) to the input's (-1..1), rows of a 2x3 matrix.

    The picture appears `scale` times as large, turned, mirrored where flip is -1, its centre at 2 * `where`.
    """
    stretch = tf.exp(draws.normal([int(scale.shape[0])], aspect))
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = cos * flip / (scale * stretch), sin * flip / (scale * stretch)
    c, d = -sin * stretch / scale, cos * stretch / scale
    x, y = 2 * where[:, 0], 2 * where[:, 1]
    return tf.stack([a, b, -(a * x + b * y), c, d, -(c * x + d * y)], 1)


def _pixel_transforms(moves: Any, wide: int, side: int) -> Any:
    """Return what ImageProjectiveTransformV3 wants: float32 [n, 8] in pixels, from output to input."""
    k = wide / side
    middle = (side - 1) / 2
    a, b, x, c, d, y = tf.unstack(moves, axis=1)
    x = x * wide / 2 + (wide - 1) / 2 - k * (a + b) * middle
    y = y * wide / 2 + (wide - 1) / 2 - k * (c + d) * middle
    zero = tf.zeros_like(a)
    return tf.stack([k * a, k * b, x, k * c, k * d, y, zero, zero], 1)


def _two_colours(draws: Draws, garment: Any) -> Any:
    """Colour grey images, 0..1: as they are, inverted, or any two colours, in equal shares."""
    count = int(garment.shape[0])
    kind = draws.uniform([count, 1, 1, 1], 0, 3)
    back = tf.where(kind < 1, 0.0, tf.where(kind < 2, 255.0, draws.uniform([count, 1, 1, 3], 0, 255)))
    front = tf.where(kind < 1, 255.0, tf.where(kind < 2, 0.0, draws.uniform([count, 1, 1, 3], 0, 255)))
    return back + garment * (front - back)


def _erased(draws: Draws, pictures: Any, share: float) -> Any:
    """Fill a rectangle of one colour in a share of the pictures (random erasing, Zhong et al. 2020)."""
    count, side = int(pictures.shape[0]), int(pictures.shape[1])
    axis = tf.range(side, dtype=tf.float32)[None] / side
    size, corner = draws.uniform([count, 2], 0.1, 0.45), draws.uniform([count, 2], -0.1, 0.9)
    inside = [
        tf.cast((axis > corner[:, i : i + 1]) & (axis < corner[:, i : i + 1] + size[:, i : i + 1]), tf.float32)
        for i in range(2)
    ]
    mask = inside[0][:, :, None, None] * inside[1][:, None, :, None]
    mask *= draws.chance(count, share)[:, None, None, None]
    return pictures * (1 - mask) + draws.uniform([count, 1, 1, 3], 0, 255) * mask


def _coarser(draws: Draws, pictures: Any, share: float) -> Any:
    """Make the first pictures of the (shuffled) batch coarse: half of them by 2, half by 3.2."""
    count, side = round(int(pictures.shape[0]) * share / 2), int(pictures.shape[1])
    if count == 0:
        return pictures
    parts = []
    for number, small in enumerate((side // 2, side * 5 // 16)):
        part = pictures[number * count : (number + 1) * count]
        part = tf.image.resize(part, [small, small], antialias=True)
        parts.append(tf.image.resize(part, [side, side]))
    return tf.concat([*parts, pictures[2 * count :]], 0)


def _recoloured(draws: Draws, pictures: Any, inverted: float, noises: Any) -> Any:
    """Change light, contrast, saturation and cast; invert a share; add noise to half of the pictures."""
    count, side = int(pictures.shape[0]), int(pictures.shape[1])
    one = [count, 1, 1, 1]
    grey = tf.reduce_mean(pictures, axis=3, keepdims=True)
    saturation = draws.uniform(one, 0.4, 1.4) * (1 - draws.chance(count, 0.08)[:, None, None, None])
    pictures = grey + (pictures - grey) * saturation
    middle = tf.reduce_mean(grey, axis=[1, 2], keepdims=True)
    gain = draws.uniform(one, 0.7, 1.3) * tf.exp(draws.normal([count, 1, 1, 3], 0.06))
    axis = tf.linspace(-1.0, 1.0, side)
    light = draws.normal(one, 0.08) * axis[None, :, None, None] + draws.normal(one, 0.08) * axis[None, None, :, None]
    pictures = (pictures - middle) * gain + middle * tf.exp(draws.normal(one, 0.15)) * (1 + light)
    half = count // 2
    rows = tf.cast(draws.uniform([half]) * float(NOISES), tf.int32)
    noise = tf.gather(noises, rows) * draws.uniform([half, 1, 1, 1], 0, 10)
    pictures = tf.concat([pictures[:half] + noise, pictures[half:]], 0)
    flip = draws.chance(count, inverted)[:, None, None, None]
    return pictures * (1 - flip) + (255 - pictures) * flip
