"""The drawing as a function of the mask that can be differentiated: what lets labels teach the segmenter.

Box, components and tones follow the mask as `drawing` computes them and are held fixed; the garment's share of each
cell of the picture is linear in the mask, so the loss of a head behind the picture flows back into the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_train.backend import keras
from fmnist_train.photo.drawing import cells_of, cut, interval, stretched
from fmnist_train.photo.mask_parts import grown, kept
from fmnist_train.photo.taps import SIDE, SIZE, DrawingRule, Photo, Plane, taps, within

NEAR: Final = 7  # cells: the mask may learn to grow into a border of half this width


@dataclass(frozen=True, eq=False)
class Drawn:
    """What is fixed while the masks [n, 96, 96] of n photos vary; all float32."""

    kept: Plane
    """[n, 96, 96]: 1 on the mask's main components."""
    near: Plane
    """[n, 96, 96]: 1 on them and a little around."""
    rows: Plane
    """[n, 28, 96]: share of each row of the mask in each row of the picture."""
    columns: Plane
    """[n, 28, 96]"""
    tone: Plane
    """[n, 28, 28], 0..1."""


def drawn(photos: Sequence[Photo], logits: Plane, rule: DrawingRule) -> Drawn:
    """Return the fixed part of drawings of photos whose mask logits, float32 [n, 96, 96], are known."""
    parts = [_one(photo, one, rule) for photo, one in zip(photos, logits, strict=True)]
    return Drawn(*(np.stack(part).astype(np.float32) for part in zip(*parts, strict=True)))


def _one(photo: Photo, logits: Plane, rule: DrawingRule) -> tuple[Plane, ...]:
    probability = (1 / (1 + np.exp(-logits))).astype(np.float32)
    main = kept(probability, rule).astype(np.float32)
    mask = probability * main
    height, width, _ = photo.shape
    top, bottom = interval(mask.max(1) > 0, height)
    left, right = interval(mask.max(0) > 0, width)
    side = max(bottom - top, right - left)
    y = taps((top + bottom - side) / 2, side, SIDE, rule.draw_taps)
    x = taps((left + right - side) / 2, side, SIDE, rule.draw_taps)
    tone = stretched(*cut(photo, mask, rule), rule)
    return main, grown(main, NEAR), _shares(y, height, rule), _shares(x, width, rule), tone


def _shares(positions: Plane, pixels: int, rule: DrawingRule) -> Plane:
    """Return [28, 96]: how much of each cell of the picture comes from each cell of the mask."""
    cells: NDArray[np.int64] = cells_of(positions, pixels)
    shares = np.zeros((SIDE, SIZE), np.float32)
    np.add.at(shares, (np.arange(len(cells)) // rule.draw_taps, cells), within(positions, pixels) / rule.draw_taps)
    return shares


def pictures(logits: Any, fixed: Drawn, rule: DrawingRule) -> Any:
    """Return pictures, float32 [n, 28, 28] in 0..255, as a function of mask logits [n, 96, 96] (tensors).

    Their values are the drawing's; their gradient also reaches the cells near the mask.
    """
    ops = keras.ops
    probability = ops.sigmoid(logits)
    around = probability * fixed.near
    mask = probability * fixed.kept + around - ops.stop_gradient(around)
    cover = ops.matmul(ops.matmul(fixed.rows, mask), ops.transpose(fixed.columns, (0, 2, 1)))
    return cover * (rule.floor + (1 - rule.floor) * fixed.tone) * 255
