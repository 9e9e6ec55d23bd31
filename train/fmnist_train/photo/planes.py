"""Many small planes at once: coordinates, smooth noise and reading at any place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.floating]  # float32 [n, rows, columns]
Rng = np.random.Generator


def column(values: NDArray[np.generic]) -> Planes:
    """Return values [n] as float32 [n, 1, 1]."""
    return np.asarray(values, np.float32)[:, None, None]


def chosen(rng: Rng, n: int, share: float) -> Planes:
    """Return float32 [n, 1, 1]: 1 for a random share, else 0."""
    return column((rng.random(n) < share).astype(np.float32))


def axes(side: int, reach: float) -> tuple[Planes, Planes]:
    """Return coordinates (x, y), float32 [1, side, side], of cell centres in -reach..reach."""
    axis = ((np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side / 2) - 1) * np.float32(reach)
    x, y = np.meshgrid(axis, axis)
    return x[None], y[None]


def smooth(rng: Rng, n: int, side: int, bumps: int) -> Planes:
    """Return noise of about unit variance, float32 [n, side, side], with `bumps` x `bumps` independent values."""
    grid = rng.standard_normal((n, bumps, bumps), np.float32)
    place = np.clip((np.arange(side) + 0.5) / side * bumps - 0.5, 0, bumps - 1)
    low = np.minimum(place.astype(int), bumps - 2)
    share = (place - low).astype(np.float32)
    rows = grid[:, low] * (1 - share)[:, None] + grid[:, low + 1] * share[:, None]
    return np.asarray(rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share, np.float32)


def read(planes: Planes, x: Planes, y: Planes) -> Planes:
    """Read each plane [n, 28, 28] at x, y in -1..1: bilinear, zero outside."""
    n, side = planes.shape[0], planes.shape[1]
    padded = np.zeros((n, side + 3, side + 3), np.float32)
    padded[:, 1 : side + 1, 1 : side + 1] = planes
    px, py = (np.clip((plane + 1) * np.float32(side / 2) + np.float32(0.5), 0, side + 1) for plane in (x, y))
    ix, iy = px.astype(np.int32), py.astype(np.int32)
    fx, fy = px - ix, py - iy
    flat, width = padded.reshape(-1), side + 3
    at = iy * width + ix + (np.arange(n, dtype=np.int32) * width * width)[:, None, None]
    top = flat[at] * (1 - fx) + flat[at + 1] * fx
    low = flat[at + width] * (1 - fx) + flat[at + width + 1] * fx
    return np.asarray(top * (1 - fy) + low * fy, np.float32)
