"""Random colours, smooth noise and coordinates: the raw material of composites."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.floating]  # [size, size]
Picture = NDArray[np.floating]  # [size, size, 3], 0..1


def resized(plane: Plane, height: int, width: int) -> Plane:
    """`plane` resampled (bicubic) to `height` x `width`."""
    image = Image.fromarray(np.asarray(plane, np.float32), mode="F")
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def smooth(rng: np.random.Generator, size: int, rows: float, columns: float | None = None) -> Plane:
    """Noise of unit variance or so, with about `rows` x `columns` bumps over the plane."""
    down = max(2, int(rows))
    across = max(2, int(columns if columns is not None else rows))
    return resized(rng.standard_normal((down, across)), size, size)


def fractal(rng: np.random.Generator, size: int, cells: float, octaves: int = 3) -> Plane:
    """Sum of `octaves` of `smooth`, each twice as fine and half as strong."""
    return sum(
        (smooth(rng, size, min(cells * 2**k, size)) / 2**k for k in range(octaves)),
        np.zeros((size, size), np.float32),
    )


def coordinates(size: int, angle: float = 0.0) -> tuple[Plane, Plane]:
    """Coordinates (u, v) in -1..1 over the plane, turned by `angle` radians."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, axis)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def blurred(plane: Plane, radius: float) -> Plane:
    """`plane` blurred by shrinking and enlarging: cheap, and smooth enough for shadows."""
    size = plane.shape[0]
    small = max(2, round(size / max(radius, 1.0)))
    return resized(resized(plane, small, small), size, size)


def colour(rng: np.random.Generator) -> Picture:
    """A colour [3] as homes and clothes have them: neutrals, browns, blues, reds, anything."""
    kind = rng.random()
    if kind < 0.30:  # white to black, slightly tinted
        return np.clip(rng.random() ** 0.8 + rng.normal(0, 0.02, 3), 0, 1).astype(np.float32)
    if kind < 0.50:  # beige, wood, brown
        hue, saturation, value = rng.uniform(0.03, 0.13), rng.uniform(0.1, 0.7), rng.uniform(0.2, 1)
    elif kind < 0.65:  # navy, denim, grey-blue
        hue, saturation, value = rng.uniform(0.54, 0.68), rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.9)
    else:
        hue, saturation, value = rng.random(), rng.uniform(0.1, 1), rng.uniform(0.15, 1)
    return np.asarray(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def near(rng: np.random.Generator, base: Picture, spread: float) -> Picture:
    """A colour [3] like `base`, changed in brightness and a little in hue."""
    changed = base * np.exp(rng.normal(0, spread)) + rng.normal(0, spread * 0.4, 3)
    return np.clip(changed, 0, 1).astype(np.float32)


def mixed(a: Picture, b: Picture, share: Plane) -> Picture:
    """`a` where `share` is 0, `b` where it is 1."""
    weight = share[..., None]
    return a * (1 - weight) + b * weight
