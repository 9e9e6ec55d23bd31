"""The tones of redrawn garments: cloth coloured anew, lit, patterned, and stretched as the drawing does."""

from __future__ import annotations

import numpy as np

from fmnist_train.photo.planes import Planes, Rng, axes, chosen, column, smooth
from fmnist_train.photo.redrawing_recipe import RedrawingRecipe
from fmnist_train.photo.taps import SIDE, DrawingRule


def toned(rng: Rng, mask: Planes, detail: Planes, recipe: RedrawingRecipe, rule: DrawingRule) -> Planes:
    """Return the drawn levels 0..1: cloth coloured anew and stretched, or the dataset's own tones on the floor."""
    n = len(mask)
    weight = np.maximum(mask.sum((1, 2)), 1)
    mean = column((detail * mask).sum((1, 2)) / weight)
    sign = column(np.where(rng.random(n) < recipe.negated, 1, -1))  # the dataset shows garments negated
    cloth = column(rng.uniform(0.3, 0.95, n)) + sign * column(rng.uniform(0, 1.2, n)) * (detail - mean)
    cloth = cloth + chosen(rng, n, recipe.light) * _light(rng, n)
    cloth = cloth + chosen(rng, n, recipe.folds) * _folds(rng, n) * column(rng.uniform(0, 0.12, n))
    cloth = cloth + chosen(rng, n, recipe.texture) * smooth(rng, n, SIDE, 20) * column(rng.uniform(0, 0.3, n))
    cloth = cloth + chosen(rng, n, recipe.stripes) * _stripes(rng, n) * column(rng.uniform(-0.4, 0.4, n))
    cloth = cloth + chosen(rng, n, recipe.prints) * _print(rng, n) * column(rng.uniform(-0.6, 0.6, n))
    cloth = cloth + rng.standard_normal(cloth.shape, np.float32) * np.float32(0.02)
    tone = _stretched(mask, np.clip(cloth, 0, 1), rule)
    drawn = mask * (np.float32(rule.floor) + np.float32(1 - rule.floor) * tone)
    kept = mask * np.clip(detail, 0, 1) ** column(np.exp(rng.normal(0, 0.3, n)))
    new = chosen(rng, n, recipe.recoloured)
    return new * drawn + (1 - new) * kept


def _stretched(mask: Planes, grey: Planes, rule: DrawingRule) -> Planes:
    """Return tones 0..1 negated and stretched between percentiles of the cloth (see drawing.stretched)."""
    n = len(mask)
    inside = (mask > 0.5).reshape(n, -1)
    ordered = np.sort(np.where(inside, grey.reshape(n, -1), -1), 1)[:, ::-1]
    rank = np.maximum(inside.sum(1) - 1, 0)
    high, low = (ordered[np.arange(n), np.floor((1 - share) * rank).astype(int)] for share in (rule.high, rule.low))
    span = np.maximum(high - low, rule.span)
    return 1 - np.clip((grey - column((high + low) / 2)) / column(span) + np.float32(0.5), 0, 1)


def _light(rng: Rng, n: int) -> Planes:
    """Return a slope of light and a soft patch."""
    x, y = axes(SIDE, 1.0)
    slope = x * column(rng.normal(0, 0.1, n)) + y * column(rng.normal(0, 0.08, n))
    return slope + smooth(rng, n, SIDE, 3) * column(rng.uniform(0, 0.12, n))


def _folds(rng: Rng, n: int) -> Planes:
    """Return noise that is longer along the body, as creases are, at times across it."""
    fine = smooth(rng, n, SIDE, 14)
    soft = fine.copy()
    for shift in range(1, 4):
        soft = soft + np.roll(fine, shift, 1) + np.roll(fine, -shift, 1)
    turned = chosen(rng, n, 0.25)
    soft = soft / np.float32(3)
    return turned * soft.transpose(0, 2, 1) + (1 - turned) * soft


def _stripes(rng: Rng, n: int) -> Planes:
    x, y = axes(SIDE, 1.0)
    angle = np.where(rng.random(n) < 0.5, 0, np.pi / 2) + rng.normal(0, 0.15, n)
    across = x * column(np.cos(angle)) + y * column(np.sin(angle))
    return np.sign(np.sin(across * column(rng.uniform(6, 30, n)) + column(rng.uniform(0, 6, n))))


def _print(rng: Rng, n: int) -> Planes:
    """Return a patch on the chest, float32 [n, 28, 28] of 0/1, whole or broken up."""
    x, y = axes(SIDE, 1.0)
    inside = ((x - column(rng.normal(0, 0.05, n))) / column(rng.uniform(0.1, 0.35, n))) ** 2 + (
        (y - column(rng.normal(-0.1, 0.15, n))) / column(rng.uniform(0.08, 0.35, n))
    ) ** 2 < 1
    broken = (smooth(rng, n, SIDE, 12) > 0).astype(np.float32)
    return np.asarray(inside * np.maximum(chosen(rng, n, 0.5), broken), np.float32)
