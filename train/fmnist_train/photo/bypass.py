"""The bypass: pictures that look like the dataset already need no segmenter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_train.photo.taps import GREY, SIDE, DrawingRule, Photo, Picture, Plane, indices, shrunk, taps, to_bytes


def square(photo: Photo, rule: DrawingRule) -> Plane:
    """float32 [28, 28, 3]: the centred square around the whole photo, borders repeated."""
    height, width, _ = photo.shape
    side = np.float32(max(height, width))
    rows = indices(taps((np.float32(height) - side) / 2, side, SIDE, rule.draw_taps), height)
    columns = indices(taps((np.float32(width) - side) / 2, side, SIDE, rule.draw_taps), width)
    return shrunk(photo, rows, columns, SIDE)


def dataset_like(photo: Photo, rule: DrawingRule) -> Picture | None:
    """The picture of a photo that already looks like the dataset: grey, in a plain dark or light frame."""
    small = square(photo, rule)
    grey = small @ GREY
    frame = np.sort(np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]]))[::-1][54]
    colour = (small.max(2) - small.min(2)).mean(dtype=np.float32)
    if colour >= rule.colourless * 255 or rule.dark * 255 < frame < rule.light * 255:
        return None
    if frame >= rule.light * 255:
        level = (frame - grey) * (np.float32(255) / frame)
    else:
        level = (grey - frame) * (np.float32(255) / (np.float32(255) - frame))
    return to_bytes(level) if one_tight_piece(level > rule.ink, rule) else None


def one_tight_piece(ink: NDArray[np.bool_], rule: DrawingRule) -> bool:
    """Whether the ink spans the picture in one direction, as in the dataset, with hardly a blank line in between.

    Text, drawings with margins and photos of things on white fail this and take the long way.
    """
    extents = []
    for line in (ink.max(0), ink.max(1)):
        extent = SIDE - np.argmax(line) - np.argmax(line[::-1])
        if line.sum() < extent - rule.gaps:
            return False
        extents.append(extent)
    return bool(max(extents) >= rule.reach)
