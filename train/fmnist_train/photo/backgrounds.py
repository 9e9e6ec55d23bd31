"""Procedural backgrounds: what clothes lie on and hang before. No photo is used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmnist_train.photo.noise import (
    Picture,
    Plane,
    blurred,
    colour,
    coordinates,
    fractal,
    mixed,
    near,
    smooth,
)

Rng = np.random.Generator


def background(rng: Rng, size: int) -> Picture:
    """A random background [size, size, 3] in 0..1: surface, light and clutter."""
    scene = _surface(rng, size)
    if rng.random() < 0.18:
        scene = mixed(scene, _surface(rng, size), _half_plane(rng, size))
    if rng.random() < 0.35:
        scene = _clutter(rng, scene)
    return _lit(rng, scene)


def _surface(rng: Rng, size: int) -> Picture:
    kinds: list[Callable[[Rng, int], Picture]] = [_plain, _texture, _folds, _wood, _tiles, _stripes, _blobs]
    return kinds[rng.choice(len(kinds), p=[0.2, 0.15, 0.2, 0.2, 0.1, 0.08, 0.07])](rng, size)


def _plain(rng: Rng, size: int) -> Picture:
    grain = smooth(rng, size, size) * rng.uniform(0, 0.04)
    return np.broadcast_to(colour(rng), (size, size, 3)) + grain[..., None]


def _texture(rng: Rng, size: int) -> Picture:
    base = colour(rng)
    other = near(rng, base, 0.4) if rng.random() < 0.7 else colour(rng)
    share = 0.5 + fractal(rng, size, rng.uniform(4, 40)) * rng.uniform(0.1, 0.5)
    return mixed(base, other, np.clip(share, 0, 1))


def _folds(rng: Rng, size: int) -> Picture:
    """Cloth: ridges along warped lines."""
    u, _ = coordinates(size, rng.uniform(0, np.pi))
    warp = fractal(rng, size, rng.uniform(2, 5), 2)
    ridges = np.sin((u + warp * rng.uniform(0.1, 0.5)) * rng.uniform(3, 14) + rng.uniform(0, 6))
    light = 1 + ridges * rng.uniform(0.03, 0.2) + fractal(rng, size, 4) * rng.uniform(0, 0.1)
    base = _texture(rng, size) if rng.random() < 0.3 else np.broadcast_to(colour(rng), (size, size, 3))
    if rng.random() < 0.2:
        base = mixed(base, _blobs(rng, size), np.full((size, size), 0.5, np.float32))
    return base * light[..., None]


def _wood(rng: Rng, size: int) -> Picture:
    """Planks with grain along them, each of its own tint, and dark seams."""
    u, v = coordinates(size, rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.25))
    width = rng.uniform(0.12, 0.7)
    plank = np.floor(v / width).astype(int)
    tint = rng.normal(0, rng.uniform(0, 0.15), 64)[plank % 64]
    rows = ((v * 1.4 + 2) * size / 4).astype(int) % (2 * size)
    grain = rng.normal(0, 1, 2 * size)[rows] * rng.uniform(0, 0.08)
    grain = grain + np.sin(u * rng.uniform(1, 4) + smooth(rng, size, 12, 3) * 2) * rng.uniform(0, 0.06)
    seam = np.abs(v / width - plank - 0.5) > 0.5 - rng.uniform(0.005, 0.04) / width
    light = 1 + tint + grain - seam * rng.uniform(0, 0.5)
    return colour(rng) * light[..., None].astype(np.float32)


def _tiles(rng: Rng, size: int) -> Picture:
    u, v = coordinates(size, rng.uniform(0, np.pi / 2))
    u = u * (1 + v * rng.uniform(-0.25, 0.25))
    width = rng.uniform(0.3, 1.2)
    a, b = u / width + rng.random(), v / (width * rng.choice([1.0, rng.uniform(0.4, 1)])) + rng.random()
    joint = rng.uniform(0.008, 0.04) / width
    line = (np.abs(a - np.round(a)) < joint) | (np.abs(b - np.round(b)) < joint)
    index = (np.floor(a) * 7 + np.floor(b) * 13).astype(int) % 64
    tint = rng.normal(0, rng.uniform(0, 0.08), 64)[index] + fractal(rng, size, 10) * rng.uniform(0, 0.05)
    base = colour(rng)
    return mixed(base * (1 + tint[..., None].astype(np.float32)), near(rng, base, 0.6), line.astype(np.float32))


def stripes(rng: Rng, size: int, base: Picture, other: Picture) -> Picture:
    """Stripes or checks of two colours, at any angle (mostly along the axes)."""
    angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.1) if rng.random() < 0.7 else rng.uniform(0, np.pi)
    u, v = coordinates(size, angle)
    warp = smooth(rng, size, 4) * rng.uniform(0, 0.05)
    rate, duty = rng.uniform(5, 45), rng.uniform(-0.7, 0.7)
    share: Plane = (np.sin((u + warp) * rate) > duty).astype(np.float32)
    if rng.random() < 0.4:
        share = (share + (np.sin((v + warp) * rate) > duty)) / 2
    return mixed(base, other, share)


def _stripes(rng: Rng, size: int) -> Picture:
    base = colour(rng)
    return stripes(rng, size, base, near(rng, base, 0.5) if rng.random() < 0.5 else colour(rng))


def blobs(rng: Rng, size: int, base: Picture, count: int = 2) -> Picture:
    """Patches of other colours on `base`, as of flowers or prints."""
    scene = np.broadcast_to(base, (size, size, 3))
    for _ in range(count):
        share = fractal(rng, size, rng.uniform(5, 25), 2) > rng.uniform(0.3, 1.2)
        scene = mixed(scene, colour(rng), share.astype(np.float32) * np.float32(rng.uniform(0.4, 1)))
    return scene


def _blobs(rng: Rng, size: int) -> Picture:
    return blobs(rng, size, colour(rng), int(rng.integers(1, 4)))


def _half_plane(rng: Rng, size: int) -> Plane:
    """1 beyond a line somewhere in the outer parts of the picture."""
    u, _ = coordinates(size, rng.choice(4) * np.pi / 2 + rng.normal(0, 0.15))
    return (u > rng.uniform(0.2, 0.95)).astype(np.float32)


def _clutter(rng: Rng, scene: Picture) -> Picture:
    """Things at the borders: boxes, rounds, hands, cables, seams."""
    size = scene.shape[0]
    for _ in range(rng.integers(1, 4)):
        u, v = coordinates(size, rng.uniform(0, np.pi))
        angle = rng.uniform(0, 2 * np.pi)
        radius = rng.uniform(0.85, 1.2)
        du, dv = u - radius * np.cos(angle), v - radius * np.sin(angle)
        power = rng.choice([2.0, 8.0])
        inside = np.abs(du / rng.uniform(0.05, 0.6)) ** power + np.abs(dv / rng.uniform(0.03, 0.35)) ** power < 1
        thing = colour(rng) if rng.random() < 0.7 else np.asarray([0.85, 0.62, 0.5], np.float32) * rng.uniform(0.4, 1.1)
        shade = blurred(inside.astype(np.float32), 6) * rng.uniform(0, 0.4)
        scene = mixed(scene * (1 - shade[..., None]), thing, inside.astype(np.float32))
    return scene


def _lit(rng: Rng, scene: Picture) -> Picture:
    """Uneven light: a gradient, a soft patch, sometimes a hard-edged shadow."""
    size = scene.shape[0]
    u, v = coordinates(size, rng.uniform(0, 2 * np.pi))
    light = 1 + u * rng.normal(0, 0.15) - (u * u + v * v) * rng.uniform(0, 0.12)
    light = light + smooth(rng, size, 3) * rng.uniform(0, 0.1)
    if rng.random() < 0.15:
        edge = blurred((v + smooth(rng, size, 3) * 0.2 > rng.uniform(-0.5, 0.8)).astype(np.float32), rng.uniform(1, 8))
        light = light * (1 - edge * rng.uniform(0.1, 0.5))
    return (scene * light[..., None]).astype(np.float32)
