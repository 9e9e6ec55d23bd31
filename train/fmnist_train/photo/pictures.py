"""Augmentation of 28x28 pictures, a whole batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[np.floating]  # [n, 28, 28], 0..255


@dataclass(frozen=True)
class PictureRecipe:
    """Standard deviations of the changes. "Light" of the third study."""

    turn: float = 0.052  # radians
    scale: float = 0.03
    aspect: float = 0.03
    shift: float = 0.02  # of the half width
    brightness: float = 0.05
    noise: float = 5.0
    lift: float = 0.0  # share of pictures whose sleeves are raised
    shear: float = 0.0


def varied(rng: np.random.Generator, pictures: NDArray[np.uint8], recipe: PictureRecipe) -> Batch:
    """Pictures uint8 [n, 28, 28] flipped (half of them), moved and made noisier."""
    n = len(pictures)
    flip = np.where(rng.random(n) < 0.5, -1, 1)
    turn, scale = rng.normal(0, recipe.turn, n), np.exp(rng.normal(0, recipe.scale, n))
    aspect, shear = np.exp(rng.normal(0, recipe.aspect, n)), rng.normal(0, recipe.shear, n)
    cos, sin = np.cos(turn), np.sin(turn)
    axis = (np.arange(28) + 0.5) / 14 - 1
    gx, gy = (plane[None].astype(np.float32) for plane in np.meshgrid(axis, axis))
    gx, gy = _lifted(rng, gx, gy, n, recipe.lift) if recipe.lift else (gx, gy)
    shift = rng.normal(0, recipe.shift, (2, n))
    x = gx * _column(cos * aspect / scale * flip) + gy * _column(sin + shear) + _column(shift[0])
    y = gy * _column(cos / scale / aspect) - gx * _column(sin * flip) + _column(shift[1])
    moved = _read(pictures, x, y) * np.exp(_column(rng.normal(0, recipe.brightness, n)))
    noise = rng.standard_normal(moved.shape, np.float32) * _column(rng.uniform(0, recipe.noise, n))
    return np.clip(moved + noise, 0, 255)


def _column(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)[:, None, None]


def _lifted(rng: np.random.Generator, x: Batch, y: Batch, n: int, share: float) -> tuple[Batch, Batch]:
    """Coordinates that raise and widen sleeves in a `share` of the pictures (see garments.lifted)."""
    strength = _column(rng.uniform(0, 1, n) * (rng.random(n) < share))
    start = _column(rng.uniform(0.32, 0.52, n))
    excess = np.maximum(np.abs(x) - start, 0) * strength
    return x - np.sign(x) * 0.6 * excess, y + 1.2 * excess


def _read(pictures: NDArray[np.uint8], x: Batch, y: Batch) -> Batch:
    """Bilinear, zero outside."""
    n = len(pictures)
    padded = np.zeros((n, 31, 31), np.float32)
    padded[:, 1:29, 1:29] = pictures
    px, py = (np.clip((plane + 1) * 14 + 0.5, 0, 29) for plane in (x, y))
    ix, iy = px.astype(np.int32), py.astype(np.int32)
    fx, fy = px - ix, py - iy
    flat = padded.reshape(-1)
    at = iy * 31 + ix + (np.arange(n, dtype=np.int32) * 961)[:, None, None]
    top = flat[at] * (1 - fx) + flat[at + 1] * fx
    low = flat[at + 31] * (1 - fx) + flat[at + 32] * fx
    return np.asarray(top * (1 - fy) + low * fy, np.float32)
