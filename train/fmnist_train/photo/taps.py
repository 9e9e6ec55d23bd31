"""Taking pixels at computed rows and columns, so that no size depends on the photo's. All arithmetic is float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Photo = NDArray[np.uint8]  # [height, width, 3]
Picture = NDArray[np.uint8]  # [28, 28]
Plane = NDArray[np.floating]

SIZE: Final = 96  # thumbnail and mask
SIDE: Final = 28  # picture
GREY: Final = np.asarray([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma


@dataclass(frozen=True)
class DrawingRule:
    """Constants of the drawing.

    Those of the mask and the tones are the first study's. Those of the bypass (colourless to reach) were chosen on
    500 training images in 16 forms each (28 and 280 pixels; black, white and off-white; PNG and JPEG of quality 80),
    the train photos and drawn negatives: see docs/photos.md.
    """

    thumb_taps: int = 4
    draw_taps: int = 8
    colourless: float = 0.02  # mean (max - min over RGB) / 255 of a dataset-like picture, at most
    dark: float = 0.06  # frame median / 255 of a picture on black, at most
    light: float = 0.94  # of one on white, at least
    ink: float = 24.0  # level of 0..255 above which a cell of a dataset-like picture is inked
    gaps: int = 2  # blank lines between inked ones, at most
    reach: int = 26  # cells of 28 that the ink spans in its longer direction, at least
    threshold: float = 0.5  # of the mask; lower where the whole mask is weaker
    floods: int = 32  # steps of the component search, two cells each
    parts: int = 3  # components looked at
    share: float = 0.35  # of the largest component's weight that another must have to be kept
    low: float = 0.05  # tone percentiles
    high: float = 0.95
    span: float = 0.25  # least difference of tones that is stretched to the full range
    floor: float = 0.35  # brightness of the brightest cloth: garments stay visible on black


def taps(start: np.float32, length: np.float32, cells: int, per_cell: int) -> Plane:
    """Positions, in pixels, of `per_cell` evenly spaced taps in each of `cells` cells of an interval."""
    count = cells * per_cell
    step = np.float32(length) / np.float32(count)
    return np.float32(start) + (np.arange(count, dtype=np.float32) + np.float32(0.5)) * step


def indices(positions: Plane, limit: int) -> NDArray[np.int64]:
    """Pixel indices of positions; those outside take the border's pixel."""
    return np.clip(np.floor(positions), 0, limit - 1).astype(np.int64)


def cell_means(values: Plane, cells: int) -> Plane:
    """Means [cells, cells, ...] of square groups of taps [cells * k, cells * k, ...]."""
    k = values.shape[0] // cells
    return values.reshape(cells, k, cells, k, *values.shape[2:]).mean((1, 3), dtype=np.float32)


def tapped(photo: Photo, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Plane:
    """The photo's pixels at `rows` x `columns` as float32 [rows, columns, 3]."""
    return photo[rows][:, columns].astype(np.float32)


def shrunk(photo: Photo, rows: NDArray[np.int64], columns: NDArray[np.int64], cells: int) -> Plane:
    """Return the means of taps at `rows` x `columns`, float32 [cells, cells, 3].

    Rows first: sums of bytes and divisions by powers of two are exact in float32, so the order changes nothing.
    """
    wide = photo[rows].reshape(cells, -1, *photo.shape[1:]).mean(1, dtype=np.float32)
    by_cell = wide[:, columns].reshape(cells, cells, -1, 3)
    return np.asarray(by_cell.mean(2, dtype=np.float32))


def within(positions: Plane, pixels: int) -> Plane:
    """1 where a position is in the photo, else 0."""
    return ((positions >= 0) & (positions < pixels)).astype(np.float32)


def to_bytes(level: Plane) -> NDArray[np.uint8]:
    """0..255 clipped and rounded half to even."""
    return np.rint(np.clip(level, 0, 255)).astype(np.uint8)
