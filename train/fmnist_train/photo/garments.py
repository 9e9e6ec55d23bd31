"""Garments for composites: Fashion-MNIST silhouettes, reshaped and freshly coloured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmnist_train.photo.backgrounds import blobs, stripes
from fmnist_train.photo.noise import (
    Picture,
    Plane,
    coordinates,
    fractal,
    mixed,
    near,
    resized,
    smooth,
)
from fmnist_train.photo.noise import colour as any_colour

Rng = np.random.Generator
Images = NDArray[np.uint8]  # [n, 28, 28]

INK = 10  # a pixel brighter than this belongs to the garment; the dataset's black is exactly 0
TOPS = (0, 2, 3, 4, 6)
SHOES = (5, 7, 9)
FINE = 112  # silhouettes are kept at four times the dataset's size, so that edges stay smooth


@dataclass(frozen=True)
class Garment:
    """A garment placed on the canvas: `alpha` [size, size] in 0..1 and its colours [size, size, 3]."""

    alpha: Plane
    colours: Picture


def silhouettes(images: Images) -> NDArray[np.bool_]:
    """Garment masks [n, 28, 28]: inked pixels with the holes filled (a flood from the frame)."""
    solid = np.pad(images > INK, ((0, 0), (1, 1), (1, 1)))
    outside = np.zeros_like(solid)
    outside[:, 0] = outside[:, -1] = outside[:, :, 0] = outside[:, :, -1] = True
    for _ in range(60):
        grown = outside.copy()
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown[:, :, 1:] |= outside[:, :, :-1]
        grown[:, :, :-1] |= outside[:, :, 1:]
        outside = grown & ~solid
        outside[:, 0] = outside[:, -1] = outside[:, :, 0] = outside[:, :, -1] = True
    return ~outside[:, 1:-1, 1:-1]


def sample(plane: Plane, x: Plane, y: Plane) -> Plane:
    """`plane` read (bilinear, 0 outside) at x, y in -1..1."""
    height, width = plane.shape
    padded = np.pad(plane, 1)
    px = np.clip((x + 1) * width / 2 + 0.5, 0, width + 0.999)
    py = np.clip((y + 1) * height / 2 + 0.5, 0, height + 0.999)
    ix, iy = px.astype(np.int32), py.astype(np.int32)
    fx, fy = px - ix, py - iy
    ix1, iy1 = np.minimum(ix + 1, width + 1), np.minimum(iy + 1, height + 1)
    top = padded[iy, ix] * (1 - fx) + padded[iy, ix1] * fx
    low = padded[iy1, ix] * (1 - fx) + padded[iy1, ix1] * fx
    return np.asarray(top * (1 - fy) + low * fy, np.float32)


def lifted(rng: Rng, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Coordinates under which sleeves rise and widen.

    The dataset's sleeves hang, those on floors are spread: beyond |x| > start the garment is
    stretched sideways and raised. Worth 4 to 5.6 points in the first study.
    """
    strength = rng.uniform(0, 1)
    wider = 1 + 0.4 * strength
    start = rng.uniform(0.32, 0.52)
    u = x * wider
    excess = np.maximum(np.abs(u) - start, 0)
    back = np.sign(u) * (np.minimum(np.abs(u), start) + excess * (1 - 0.6 * strength))
    return back, y + 1.6 * strength * excess * (1 - 0.6 * strength)


def placed(
    rng: Rng,
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    label: int,
    size: int,
    centre: tuple[float, float],
    scale: float,
    colour: Picture,
) -> Garment:
    """The garment with half-size `scale` around `centre` (canvas units -1..1), turned and warped."""
    angle = rng.normal(0, 0.15) if rng.random() < 0.85 else rng.uniform(-np.pi, np.pi)
    x, y = coordinates(size, angle)
    cx = np.cos(angle) * centre[0] + np.sin(angle) * centre[1]
    cy = np.cos(angle) * centre[1] - np.sin(angle) * centre[0]
    x = (x - cx) / (scale * np.exp(rng.normal(0, 0.12)))
    y = (y - cy) / (scale * np.exp(rng.normal(0, 0.12)))
    x = x + smooth(rng, size, 4) * 0.04 + y * rng.normal(0, 0.06)
    y = y + smooth(rng, size, 4) * 0.04
    if rng.random() < 0.5:
        x = -x
    if label in TOPS and rng.random() < 0.6:
        x, y = lifted(rng, x, y)
    fine = resized(mask.astype(np.float32), FINE, FINE)
    alpha = np.clip((sample(fine, x, y) - 0.5) * rng.uniform(2, 6) + 0.5, 0, 1)
    detail = sample(resized(image.astype(np.float32) / 255, FINE, FINE), x, y)
    return Garment(alpha, _dressed(rng, alpha, detail, colour))


def _dressed(rng: Rng, alpha: Plane, detail: Plane, base: Picture) -> Picture:
    """Colours of the garment: base, pattern, print, the dataset's own tones, folds and light."""
    size = alpha.shape[0]
    cloth = _patterned(rng, size, base)
    if rng.random() < 0.25:
        cloth = mixed(cloth, _printed(rng, size), _print_area(rng, alpha))
    inside = detail[alpha > 0.5]
    mean = float(inside.mean()) if inside.size else 0.5
    light = 1 + (detail - mean) * rng.choice([-1.0, 1.0], p=[0.3, 0.7]) * rng.uniform(0, 0.9)
    light = light + fractal(rng, size, rng.uniform(3, 10)) * rng.uniform(0, 0.15)
    u, _ = coordinates(size, rng.uniform(0, 2 * np.pi))  # one side of a garment lies in its own shade
    light = light * np.exp(u * rng.normal(0, 0.35))
    return np.asarray(cloth * light[..., None] + rng.uniform(0, 0.06), np.float32)


def _patterned(rng: Rng, size: int, base: Picture) -> Picture:
    kind = rng.random()
    other = near(rng, base, 0.4) if rng.random() < 0.4 else any_colour(rng)
    if kind < 0.15:
        return stripes(rng, size, base, other)
    if kind < 0.27:
        return blobs(rng, size, base, int(rng.integers(1, 4)))
    if kind < 0.47:  # colour blocks: sleeves, yoke, hem
        u, _ = coordinates(size, rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.1))
        u = np.abs(u) if rng.random() < 0.5 else u
        return mixed(base, other, (u > rng.uniform(0, 0.5)).astype(np.float32))
    if kind < 0.57:
        weave = np.clip(0.5 + smooth(rng, size, size / 2) * 0.4, 0, 1)
        return mixed(base, other, weave)
    return np.broadcast_to(base, (size, size, 3))


def _printed(rng: Rng, size: int) -> Picture:
    if rng.random() < 0.5:
        return np.broadcast_to(any_colour(rng), (size, size, 3))
    return blobs(rng, size, any_colour(rng), 2)


def _print_area(rng: Rng, alpha: Plane) -> Plane:
    """A patch at the middle of the garment, whole or broken up like letters."""
    size = alpha.shape[0]
    rows, columns = np.nonzero(alpha > 0.5)
    if not rows.size:
        return np.zeros_like(alpha)
    u, v = coordinates(size)
    u = u - (columns.mean() * 2 / size - 1) - rng.normal(0, 0.05)
    v = v - (rows.mean() * 2 / size - 1) - rng.normal(0, 0.1)
    power = rng.choice([2.0, 8.0])
    patch = np.abs(u / rng.uniform(0.08, 0.3)) ** power + np.abs(v / rng.uniform(0.05, 0.3)) ** power < 1
    if rng.random() < 0.5:
        patch = patch & (smooth(rng, size, rng.uniform(10, 40)) > 0)
    return patch.astype(np.float32)
