"""Pairs of shoes seen from above, which the dataset has no view of: a batch at a time."""

from __future__ import annotations

import numpy as np

from fmnist_train.photo.planes import Planes, Rng, axes, column


def soles(rng: Rng, n: int, side: int, reach: float) -> tuple[Planes, Planes]:
    """Return masks and tones (bright where the dataset is bright, 0..1), float32 [n, side, side], of n pairs.

    Each shoe is an outline with a waist, an opening and, at times, straps or laces; both stand side by side, turned
    a little apart, or the pair is turned as a whole.
    """
    x, y = axes(side, reach)
    whole = rng.normal(0, 0.2, n) + np.where(rng.random(n) < 0.3, rng.uniform(-np.pi, np.pi, n), 0)
    cos, sin = column(np.cos(whole)), column(np.sin(whole))
    x, y = cos * x + sin * y, cos * y - sin * x
    shape = _Shape(rng, n)
    sides = [shape.draw(x, y, turned) for turned in (-1.0, 1.0)]
    mask = np.maximum(sides[0][0], sides[1][0])
    return mask, np.where(sides[1][0] > 0.5, sides[1][1], sides[0][1])


class _Shape:
    """What both shoes of n pairs share."""

    def __init__(self, rng: Rng, n: int) -> None:
        self.width, self.waist = column(rng.uniform(0.28, 0.42, n)), column(rng.uniform(0, 0.25, n))
        self.apart = column(rng.uniform(0.34, 0.62, n))
        self.turn, self.slip = rng.normal(0.05, 0.15, n), column(rng.normal(0, 0.12, n))
        self.base, self.inner = column(rng.uniform(0.3, 0.9, n)), column(rng.uniform(0.1, 1.0, n))
        self.opening, self.mouth = column(rng.uniform(0.2, 0.5, n)), column(rng.uniform(0.25, 0.5, n))
        self.sandal = column(rng.random(n) < 0.35)
        self.laces = column(rng.random(n) < 0.35)
        self.lines, self.phase = column(rng.uniform(6, 14, n)), column(rng.uniform(0, 6, n))

    def draw(self, x: Planes, y: Planes, side: float) -> tuple[Planes, Planes]:
        """Return mask and tones of the left (-1) or right (1) shoes."""
        angle = self.turn * side
        cos, sin = column(np.cos(angle)), column(np.sin(angle))
        dx, dy = x - side * self.apart, y - side * self.slip
        u, v = cos * dx + sin * dy, cos * dy - sin * dx
        half = self.width * (1 - self.waist * np.exp(-(((v - 0.2) / 0.3) ** 2)))
        half = half * np.sqrt(np.clip(1 - np.abs(v) ** 3, 0, 1))
        mask = np.clip((half - np.abs(u - 0.08 * side * v * v)) * 14, 0, 1)
        mouth = (u / (self.width * 0.65)) ** 2 + ((v - self.mouth) / self.opening) ** 2 < 1
        bands = np.sin(v * self.lines + self.phase + np.abs(u) * 3)
        tone = np.where(mouth, self.inner, self.base * (1 - 0.4 * np.abs(u / self.width)))
        tone = np.where(
            (self.laces > 0) & (np.abs(u) < self.width * 0.5) & (v < self.mouth - 0.2) & (bands > 0.3), self.inner, tone
        )
        tone = np.where((self.sandal > 0) & (bands > 0.2), self.inner, tone)
        return mask.astype(np.float32), np.clip(tone, 0, 1).astype(np.float32)
