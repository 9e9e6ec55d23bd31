"""Changed versions of real photos and of their masks: what makes one photo many training pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fmnist_train.photo.taps import DrawingRule, Photo, Plane


@dataclass(frozen=True)
class JitterRecipe:
    """How photos are changed before they are segmented. The third study's values."""

    long_side: int = 224
    """Pixels that a photo is reduced to first; 28x28 pictures need no more."""
    flip: float = 0.5
    """Share of photos mirrored."""
    turn: float = 0.14
    """Radians, standard deviation."""
    far_turn: float = 0.06
    """Share turned by up to 0.6 instead."""
    zoom: tuple[float, float] = (0.84, 1.10)
    """Limits of the factor."""
    aspect: float = 0.05
    """Standard deviation of the logarithm of width / height."""
    shift: float = 0.05
    """Standard deviation, of half a side."""
    gamma: float = 0.15
    """Standard deviation of its logarithm."""
    cast: float = 0.05
    """Standard deviation of the logarithm of each colour's gain."""
    noise: float = 4.0
    """Grey levels: the largest standard deviation of pixel noise."""
    logit_shift: float = 0.5
    """Standard deviation of what is added to all mask logits."""
    blotches: float = 0.3
    """Share of masks with smooth errors."""


def jittered(rng: np.random.Generator, photo: Photo, recipe: JitterRecipe) -> Photo:
    """Return the photo turned, zoomed, shifted (borders mirrored) and changed in light and colour."""
    height, width, _ = photo.shape
    x, y = _moved(rng, height, width, recipe)
    rows, columns = _mirrored(y, height), _mirrored(x, width)
    light = (np.arange(256) / 255) ** np.exp(rng.normal(0, recipe.gamma))
    table = (light[:, None] * np.exp(rng.normal(0, recipe.cast, 3)) * 255).astype(np.float32)
    changed = table[photo[rows, columns], np.arange(3)]
    changed += rng.standard_normal(changed.shape, np.float32) * np.float32(rng.uniform(0, recipe.noise))
    return np.clip(changed, 0, 255).astype(np.uint8)


def _moved(rng: np.random.Generator, height: int, width: int, recipe: JitterRecipe) -> tuple[Plane, Plane]:
    """Return where in the photo (-1..1 from border to border) each pixel of the changed version lies."""
    reduction = min(1.0, recipe.long_side / max(height, width))
    rows, columns = max(1, round(height * reduction)), max(1, round(width * reduction))
    down, across = (
        (np.arange(count, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / count) - 1 for count in (rows, columns)
    )
    y, x = np.meshgrid(down, across * np.float32(width / height), indexing="ij")
    turn = rng.uniform(-0.6, 0.6) if rng.random() < recipe.far_turn else rng.normal(0, recipe.turn)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = cos * x + sin * y, cos * y - sin * x
    scale = 1 / rng.uniform(*recipe.zoom)
    side = -1 if rng.random() < recipe.flip else 1
    stretch = side * scale * np.exp(rng.normal(0, recipe.aspect)) * height / width
    x = x * np.float32(stretch) + np.float32(rng.normal(0, recipe.shift))
    return x, y * np.float32(scale) + np.float32(rng.normal(0, recipe.shift))


def _mirrored(position: Plane, limit: int) -> NDArray[np.int64]:
    """Return pixel indices of positions in -1..1, mirrored at the borders."""
    folded = np.abs((position + 3) % 4 - 2) - 1  # a triangle wave: identity on -1..1 but for its sign
    return np.clip((folded + 1) / 2 * limit, 0, limit - 1).astype(np.int64)


def blotched(rng: np.random.Generator, logits: Plane, recipe: JitterRecipe) -> Plane:
    """Return mask logits [96, 96] shifted as a whole and, at times, in smooth patches."""
    logits = logits + np.float32(rng.normal(0, recipe.logit_shift))
    if rng.random() < recipe.blotches:
        coarse = rng.normal(0, 1.0, (6, 6)).astype(np.float32)
        logits = logits + np.kron(coarse, np.ones((16, 16), np.float32))
    return logits


def varied_rule(rng: np.random.Generator, rule: DrawingRule) -> DrawingRule:
    """Return the rule, at times with another share that components must have to be kept."""
    return replace(rule, share=float(rng.choice([rule.share, 0.15, 0.9], p=[0.6, 0.2, 0.2])))
