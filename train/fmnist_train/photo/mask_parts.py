"""Cleaning the mask: only its main components are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_train.photo.taps import SIZE, DrawingRule, Plane


def kept(probability: Plane, rule: DrawingRule) -> NDArray[np.bool_]:
    """[96, 96]: cells of the mask's main components, found on a grid of 48x48.

    Cells start with numbers of their own; the largest number floods each component. Components
    are then taken by weight (probability near the centre): the heaviest and up to two more.
    """
    half = SIZE // 2
    coarse = probability.reshape(half, 2, half, 2).max((1, 3))
    limit = min(np.float32(rule.threshold), np.float32(0.8) * probability.max())
    solid = (coarse >= limit).astype(np.float32)
    number = solid * (1 + np.arange(half * half, dtype=np.float32).reshape(half, half))
    for _ in range(rule.floods):
        flooded = grown(number, 5) * solid
        if np.array_equal(flooded, number):  # further steps would change nothing
            break
        number = flooded
    remaining = coarse * solid * centre_weight()
    chosen, most = np.zeros((half, half), bool), np.float32(0)
    for _ in range(rule.parts):
        seed = number.reshape(-1)[np.argmax(smoothed(remaining))]
        part = (number == seed) & (solid > 0)
        weight = np.where(part, remaining, 0).sum(dtype=np.float32)
        most = max(most, weight)
        if weight >= rule.share * most:
            chosen |= part
        remaining = np.where(part, 0, remaining)
    return np.repeat(np.repeat(chosen, 2, 0), 2, 1) & (probability >= limit)


def smoothed(plane: Plane) -> Plane:
    """[48, 48] values where there is mask: 9x9 mean that counts zeros outside; ties are as they come."""
    padded = np.pad(plane, 4)
    sums = np.sum([padded[k : k + plane.shape[0]] for k in range(9)], 0)
    means = np.sum([sums[:, k : k + plane.shape[1]] for k in range(9)], 0) / np.float32(81)
    return np.asarray(np.where(plane > 0, means, -1), np.float32)


def grown(plane: Plane, size: int) -> Plane:
    """MaxPool of `size` x `size` (odd), stride 1, same padding."""
    reach = size // 2
    padded = np.pad(plane, reach, constant_values=-np.inf)
    rows = np.max([padded[k : k + plane.shape[0]] for k in range(size)], 0)
    return np.asarray(np.max([rows[:, k : k + plane.shape[1]] for k in range(size)], 0), np.float32)


def centre_weight() -> Plane:
    """[48, 48]: subjects stand near the middle (first study)."""
    axis = (np.arange(SIZE // 2, dtype=np.float32) + 0.5) / (SIZE // 2) - 0.5
    radius = (axis[None, :] / 0.36) ** 2 + (axis[:, None] / 0.40) ** 2
    return (0.05 + np.exp(-0.5 * radius**2)).astype(np.float32)
