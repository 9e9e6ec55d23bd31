"""From a photo to the 28x28 picture the head sees: the reference of the graph, in numpy.

Every step here, in `taps`, `bypass` and `mask_parts` has its twin among the steps of the ONNX graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmnist_train.photo.bypass import dataset_like
from fmnist_train.photo.mask_parts import kept
from fmnist_train.photo.taps import (
    GREY,
    SIDE,
    SIZE,
    DrawingRule,
    Photo,
    Picture,
    Plane,
    cell_means,
    indices,
    shrunk,
    tapped,
    taps,
    to_bytes,
    within,
)

Segmenter = Callable[[Plane], Plane]  # thumbnail [96, 96, 3] in 0..255 -> mask logits [96, 96]


@dataclass(frozen=True)
class Drawing:
    """What was drawn: the picture, the mask over the whole photo, whether the segmenter was bypassed."""

    picture: Picture
    mask: NDArray[np.uint8]  # [96, 96], 0..255
    bypassed: bool


def thumbnail(photo: Photo, rule: DrawingRule) -> Plane:
    """float32 [96, 96, 3] in 0..255: the whole photo, squeezed to a square, each cell a mean of 16 taps."""
    height, width, _ = photo.shape
    rows = indices(taps(np.float32(0), np.float32(height), SIZE, rule.thumb_taps), height)
    columns = indices(taps(np.float32(0), np.float32(width), SIZE, rule.thumb_taps), width)
    return shrunk(photo, rows, columns, SIZE)


def interval(cells: NDArray[np.bool_], pixels: int) -> tuple[np.float32, np.float32]:
    """First and last edge, in pixels, of the true cells of a line [96]."""
    scale = np.float32(pixels) / np.float32(SIZE)
    first = np.float32(np.argmax(cells))
    last = np.float32(SIZE - np.argmax(cells[::-1]))
    return first * scale, last * scale


def cut(photo: Photo, mask: Plane, rule: DrawingRule) -> tuple[Plane, Plane]:
    """Garment's share [28, 28] of each cell in 0..1 and its grey in 0..1, from the tight square around `mask`."""
    height, width, _ = photo.shape
    top, bottom = interval(mask.max(1) > 0, height)
    left, right = interval(mask.max(0) > 0, width)
    side = max(bottom - top, right - left)
    y = taps((top + bottom - side) / 2, side, SIDE, rule.draw_taps)
    x = taps((left + right - side) / 2, side, SIDE, rule.draw_taps)
    grey = tapped(photo, indices(y, height), indices(x, width)) @ (GREY / np.float32(255))
    share = mask[cells_of(y, height)][:, cells_of(x, width)]
    share = share * within(y, height)[:, None] * within(x, width)[None, :]
    cover = cell_means(share, SIDE)
    return cover, cell_means(grey * share, SIDE) / np.maximum(cover, np.float32(1e-3))


def cells_of(positions: Plane, pixels: int) -> NDArray[np.int64]:
    """Indices of the mask's cells under positions."""
    return indices(positions * (np.float32(SIZE) / np.float32(pixels)), SIZE)


def stretched(cover: Plane, grey: Plane, rule: DrawingRule) -> Plane:
    """Tones 0..1 [28, 28], negated as the dataset's authors did, between two percentiles of the cloth."""
    inside = cover.reshape(-1) > 0.5
    count = np.float32(inside.sum())
    ordered = np.sort(np.where(inside, grey.reshape(-1), np.float32(-1)))[::-1]
    rank = np.maximum(count - 1, 0)
    high = ordered[int(np.floor((1 - np.float32(rule.high)) * rank))]
    low = ordered[int(np.floor((1 - np.float32(rule.low)) * rank))]
    middle, span = (high + low) / 2, np.maximum(high - low, np.float32(rule.span))
    return 1 - np.clip((grey - middle) / span + np.float32(0.5), 0, 1)


def rendered(photo: Photo, logits: Plane, rule: DrawingRule) -> Drawing:
    """The drawing of a photo whose mask logits [96, 96] are known."""
    probability = (1 / (1 + np.exp(-logits))).astype(np.float32)
    mask = probability * kept(probability, rule)
    cover, grey = cut(photo, mask, rule)
    tone = stretched(cover, grey, rule)
    level = cover * (np.float32(rule.floor) + np.float32(1 - rule.floor) * tone)
    return Drawing(to_bytes(level * 255), to_bytes(mask * 255), False)


def draw(photo: Photo, segmenter: Segmenter, rule: DrawingRule | None = None) -> Drawing:
    """A photo uint8 [height, width, 3] as a dataset-like picture."""
    rule = rule or DrawingRule()
    plain = dataset_like(photo, rule)
    if plain is not None:
        return Drawing(plain, np.zeros((SIZE, SIZE), np.uint8), True)
    return rendered(photo, segmenter(thumbnail(photo, rule)), rule)
