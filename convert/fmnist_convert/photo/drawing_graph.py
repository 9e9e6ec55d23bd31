"""The drawing as graph steps: one function a step, in the order of the pipeline.

The numpy twin of each step, with the reasons, is `fmnist_train.photo.drawing`; a test holds both equal.
Sizes never depend on the photo's: pixels are taken by Gather at computed rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fmnist_convert.photo.builder import GraphBuilder, Operand, Value
from fmnist_edge.contract import IMAGE_SIDE

MASK_SIDE: Final = 96
COARSE_SIDE: Final = MASK_SIDE // 2
GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma


@dataclass(frozen=True)
class DrawingRule:
    """Constants of the drawing, as the segmenter's training recorded them (their reasons stand there)."""

    thumb_taps: int
    draw_taps: int
    colourless: float
    dark: float
    light: float
    ink: float
    gaps: int
    reach: int
    threshold: float
    floods: int
    parts: int
    share: float
    low: float
    high: float
    span: float
    floor: float


@dataclass(frozen=True)
class Photo:
    """The graph's input with its sides."""

    pixels: Value
    """uint8 [height, width, 3]"""
    height: Value
    """float32 scalar"""
    width: Value
    """float32 scalar"""


def open_photo(g: GraphBuilder, pixels: Value) -> Photo:
    """Read the sides off the input."""
    shape = g.cast(g.add("Shape", pixels), np.float32)
    return Photo(pixels, g.add("Gather", shape, np.int64(0)), g.add("Gather", shape, np.int64(1)))


def thumbnail(g: GraphBuilder, photo: Photo, rule: DrawingRule) -> Value:
    """Return float32 [96, 96, 3] in 0..255: the whole photo squeezed to a square."""
    positions = [taps(g, 0.0, length, MASK_SIDE, rule.thumb_taps) for length in (photo.height, photo.width)]
    return _shrunk(g, photo, positions, MASK_SIDE, rule.thumb_taps)


def _shrunk(g: GraphBuilder, photo: Photo, positions: list[Value], cells: int, per_cell: int) -> Value:
    """Return the means of the photo's taps, float32 [cells, cells, 3]: rows first, since they lie together.

    The order changes nothing: sums of bytes and divisions by powers of two are exact in float32.
    """
    rows = g.cast(g.add("Gather", photo.pixels, indices(g, positions[0], photo.height), axis=0), np.float32)
    wide = g.add("ReduceMean", g.reshape(rows, per_cell, -1), axes=[0], keepdims=0)
    by_cell = g.add("Gather", g.reshape(wide, cells, -1, 3), indices(g, positions[1], photo.width), axis=1)
    means = g.add("ReduceMean", g.reshape(by_cell, cells, per_cell, cells * 3), axes=[1], keepdims=0)
    return g.reshape(means, cells, cells, 3)


def taps(g: GraphBuilder, start: Operand, length: Operand, cells: int, per_cell: int) -> Value:
    """Return float32 [per_cell * cells]: evenly spaced positions in an interval of pixels.

    First come the first taps of all cells, then the second ones, and so on: means over taps then run over long
    contiguous rows, which is several times faster than over neighbours.
    """
    count = cells * per_cell
    steps = (np.arange(count, dtype=np.float32) + np.float32(0.5)).reshape(cells, per_cell).T.reshape(-1)
    return g.add("Add", g.add("Mul", steps, g.add("Div", length, float(count))), start)


def indices(g: GraphBuilder, positions: Value, limit: Operand) -> Value:
    """Return int64 indices of the pixels under positions; outside, those of the border."""
    last = g.add("Sub", limit, 1.0)
    return g.cast(g.add("Clip", g.add("Floor", positions), 0.0, last), np.int64)


def tapped(g: GraphBuilder, photo: Photo, rows: Value, columns: Value) -> Value:
    """Return the photo's pixels at rows and columns, float32 [rows, columns, 3]."""
    return g.cast(g.add("Gather", g.add("Gather", photo.pixels, rows, axis=0), columns, axis=1), np.float32)


def cell_means(g: GraphBuilder, values: Value, cells: int, per_cell: int) -> Value:
    """Return the means of square groups of taps: [k * cells, k * cells] to [cells, cells]."""
    rows = g.add("ReduceMean", g.reshape(values, per_cell, cells * per_cell * cells), axes=[0], keepdims=0)
    return g.add("ReduceMean", g.reshape(rows, cells, per_cell, cells), axes=[1], keepdims=0)


def dataset_like(g: GraphBuilder, photo: Photo, rule: DrawingRule) -> tuple[Value, Value]:
    """Return (bool scalar, float32 [28, 28]): whether the photo looks like the dataset, and its picture then."""
    small = _square(g, photo, rule)
    flat = g.add("MatMul", g.reshape(small, IMAGE_SIDE * IMAGE_SIDE, 3), GREY.reshape(3, 1))
    grey = g.reshape(flat, IMAGE_SIDE, IMAGE_SIDE)
    frame = _frame_level(g, grey)
    spread = g.add(
        "Sub", g.add("ReduceMax", small, axes=[2], keepdims=0), g.add("ReduceMin", small, axes=[2], keepdims=0)
    )
    colour = g.add("ReduceMean", spread, keepdims=0)
    light = g.add("Not", g.add("Less", frame, rule.light * 255))
    plain = g.add("Or", light, g.add("Not", g.add("Greater", frame, rule.dark * 255)))
    fits = g.add("And", plain, g.add("Less", colour, rule.colourless * 255))
    # The guards keep the branch that is not taken free of division by zero.
    on_light = g.add("Mul", g.add("Sub", frame, grey), g.add("Div", 255.0, g.add("Max", frame, 1.0)))
    room = g.add("Max", g.add("Sub", 255.0, frame), 1.0)
    on_dark = g.add("Mul", g.add("Sub", grey, frame), g.add("Div", 255.0, room))
    level = g.add("Where", light, on_light, on_dark)
    return g.add("And", fits, _one_tight_piece(g, level, rule)), level


def _one_tight_piece(g: GraphBuilder, level: Value, rule: DrawingRule) -> Value:
    """Return bool scalar: whether ink spans the picture in one direction, with hardly a blank line in between."""
    ink = g.cast(g.add("Greater", level, rule.ink), np.float32)
    spans, extents = [], []
    for axis in (0, 1):
        line = g.add("ReduceMax", ink, axes=[axis], keepdims=0)
        first = g.cast(g.add("ArgMax", line, axis=0, keepdims=0), np.float32)
        last = g.cast(g.add("ArgMax", line, axis=0, keepdims=0, select_last_index=1), np.float32)
        extents.append(g.add("Add", g.add("Sub", last, first), 1.0))
        filled = g.add("Add", g.add("ReduceSum", line, keepdims=0), float(rule.gaps))
        spans.append(g.add("Not", g.add("Less", filled, extents[-1])))
    long_enough = g.add("Not", g.add("Less", g.add("Max", *extents), float(rule.reach)))
    return g.add("And", g.add("And", *spans), long_enough)


def _square(g: GraphBuilder, photo: Photo, rule: DrawingRule) -> Value:
    """Return float32 [28, 28, 3]: the centred square around the whole photo, borders repeated."""
    side = g.add("Max", photo.height, photo.width)
    positions = [
        taps(g, _half(g, g.add("Sub", length, side)), side, IMAGE_SIDE, rule.draw_taps)
        for length in (photo.height, photo.width)
    ]
    return _shrunk(g, photo, positions, IMAGE_SIDE, rule.draw_taps)


def _frame_level(g: GraphBuilder, grey: Value) -> Value:
    """Return the upper median of the 108 outermost pixels, float32 scalar."""
    cells = np.arange(IMAGE_SIDE * IMAGE_SIDE).reshape(IMAGE_SIDE, IMAGE_SIDE)
    ring = np.concatenate([cells[0], cells[-1], cells[1:-1, 0], cells[1:-1, -1]])
    outermost = g.add("Gather", g.reshape(grey, IMAGE_SIDE * IMAGE_SIDE), ring)
    half = len(ring) // 2 + 1
    return g.add("Gather", sorted_down(g, outermost, half), np.int64(half - 1))


def sorted_down(g: GraphBuilder, values: Value, count: int) -> Value:
    """Return the `count` largest values of a vector, largest first.

    The places are read as well, though the values alone would do: an output that nothing reads may share its buffer
    with a living tensor in onnxruntime 1.15 to 1.18 (pull request 21019 there), which then computes nonsense.
    """
    largest = g.add("TopK", values, np.array([count], np.int64), axis=0)
    places = f"{largest}_places"
    g.nodes[-1].output.append(places)
    return g.add("Max", largest, g.add("Gather", values, places))


def _half(g: GraphBuilder, value: Value) -> Value:
    return g.add("Mul", value, 0.5)


def to_bytes(g: GraphBuilder, level: Value, name: str | None = None) -> Value:
    """Return uint8: clipped to 0..255, rounded half to even."""
    return g.add("Cast", g.add("Round", g.add("Clip", level, 0.0, 255.0)), to=2, name=name)  # 2 is uint8


def kept(g: GraphBuilder, probability: Value, rule: DrawingRule) -> Value:
    """Return float32 [96, 96], 1 where a cell belongs to the mask's main components, else 0."""
    cells = COARSE_SIDE * COARSE_SIDE
    plane = g.reshape(probability, 1, 1, MASK_SIDE, MASK_SIDE)
    coarse = g.add("MaxPool", plane, kernel_shape=[2, 2], strides=[2, 2])
    limit = g.add("Min", rule.threshold, g.add("Mul", 0.8, g.add("ReduceMax", probability, keepdims=0)))
    solid = g.cast(g.add("Not", g.add("Less", coarse, limit)), np.float32)
    own = np.arange(1, cells + 1, dtype=np.float32).reshape(1, 1, COARSE_SIDE, COARSE_SIDE)
    number = g.add("Mul", solid, own)
    for _ in range(rule.floods):
        number = g.add("Mul", _grown(g, number, 5), solid)
    chosen = _heaviest_parts(g, number, g.add("Mul", g.add("Mul", coarse, solid), _centre_weight()), solid, rule)
    columns = np.repeat(np.arange(COARSE_SIDE), 2)
    flat = g.reshape(chosen, COARSE_SIDE, COARSE_SIDE)
    full = g.add("Gather", g.add("Gather", flat, columns, axis=0), columns, axis=1)
    enough = g.cast(g.add("Not", g.add("Less", probability, limit)), np.float32)
    return g.add("Mul", full, enough)


def _grown(g: GraphBuilder, plane: Value, size: int) -> Value:
    reach = size // 2
    return g.add("MaxPool", plane, kernel_shape=[size, size], pads=[reach] * 4, strides=[1, 1])


def _heaviest_parts(g: GraphBuilder, number: Value, remaining: Value, solid: Value, rule: DrawingRule) -> Value:
    """Return float32 [1, 1, 48, 48]: 1 on the heaviest component and on others of enough weight."""
    numbers = g.reshape(number, COARSE_SIDE * COARSE_SIDE)
    chosen, most = g.add("Mul", solid, 0.0), g.operand(0.0)
    for rank in range(rule.parts):
        centre = g.add("ArgMax", g.reshape(_smoothed(g, remaining), COARSE_SIDE * COARSE_SIDE), axis=0, keepdims=0)
        same = g.cast(g.add("Equal", number, g.add("Gather", numbers, centre)), np.float32)
        part = g.add("Mul", same, solid)
        weight = g.add("ReduceSum", g.add("Mul", part, remaining), keepdims=0)
        most = g.add("Max", most, weight)
        heavy = g.cast(g.add("Not", g.add("Less", weight, g.add("Mul", most, rule.share))), np.float32)
        chosen = g.add("Max", chosen, g.add("Mul", part, heavy))
        if rank + 1 < rule.parts:
            remaining = g.add("Mul", remaining, g.add("Sub", 1.0, part))
    return chosen


def _smoothed(g: GraphBuilder, plane: Value) -> Value:
    """Return the 9x9 mean where the plane is above 0, else -1."""
    means = g.add("AveragePool", plane, kernel_shape=[9, 9], pads=[4] * 4, strides=[1, 1], count_include_pad=1)
    return g.add("Where", g.add("Greater", plane, 0.0), means, -1.0)


def _centre_weight() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return [1, 1, 48, 48]: subjects stand near the middle."""
    axis = (np.arange(COARSE_SIDE, dtype=np.float32) + np.float32(0.5)) / np.float32(COARSE_SIDE) - np.float32(0.5)
    radius = (axis[None, :] / np.float32(0.36)) ** 2 + (axis[:, None] / np.float32(0.40)) ** 2
    weight = np.float32(0.05) + np.exp(np.float32(-0.5) * radius**2)
    return weight.astype(np.float32).reshape(1, 1, COARSE_SIDE, COARSE_SIDE)


def cut(g: GraphBuilder, photo: Photo, mask: Value, rule: DrawingRule) -> tuple[Value, Value]:
    """Return cover and grey, float32 [28, 28] in 0..1 each, of the tight square around the mask [96, 96]."""
    edges = [_interval(g, mask, axis, length) for axis, length in ((1, photo.height), (0, photo.width))]
    side = g.add("Max", *(g.add("Sub", last, first) for first, last in edges))
    positions = [
        taps(g, _half(g, g.add("Sub", g.add("Add", first, last), side)), side, IMAGE_SIDE, rule.draw_taps)
        for first, last in edges
    ]
    lengths = (photo.height, photo.width)
    pixels = tapped(g, photo, *(indices(g, p, length) for p, length in zip(positions, lengths, strict=True)))
    taps_count = IMAGE_SIDE * rule.draw_taps
    grey = g.add("MatMul", g.reshape(pixels, taps_count * taps_count, 3), (GREY / np.float32(255)).reshape(3, 1))
    grey = g.reshape(grey, taps_count, taps_count)
    cells = [_mask_cells(g, p, length) for p, length in zip(positions, lengths, strict=True)]
    inside = [_within(g, p, length) for p, length in zip(positions, lengths, strict=True)]
    share = g.add("Gather", g.add("Gather", mask, cells[0], axis=0), cells[1], axis=1)
    share = g.add("Mul", g.add("Mul", share, g.reshape(inside[0], taps_count, 1)), inside[1])
    cover = cell_means(g, share, IMAGE_SIDE, rule.draw_taps)
    weighted = cell_means(g, g.add("Mul", grey, share), IMAGE_SIDE, rule.draw_taps)
    return cover, g.add("Div", weighted, g.add("Max", cover, 1e-3))


def _interval(g: GraphBuilder, mask: Value, axis: int, length: Value) -> tuple[Value, Value]:
    """Return first and last edge of the mask in pixels, along the axis that is left when `axis` is reduced."""
    filled = g.cast(g.add("Greater", g.add("ReduceMax", mask, axes=[axis], keepdims=0), 0.0), np.float32)
    scale = g.add("Div", length, float(MASK_SIDE))
    first = g.cast(g.add("ArgMax", filled, axis=0, keepdims=0), np.float32)
    last = g.cast(g.add("ArgMax", filled, axis=0, keepdims=0, select_last_index=1), np.float32)
    return g.add("Mul", first, scale), g.add("Mul", g.add("Add", last, 1.0), scale)


def _mask_cells(g: GraphBuilder, positions: Value, length: Value) -> Value:
    return indices(g, g.add("Mul", positions, g.add("Div", float(MASK_SIDE), length)), float(MASK_SIDE))


def _within(g: GraphBuilder, positions: Value, length: Value) -> Value:
    """Return 1 where a position is in the photo, else 0."""
    after = g.add("Not", g.add("Less", positions, 0.0))
    return g.cast(g.add("And", after, g.add("Less", positions, length)), np.float32)


def stretched(g: GraphBuilder, cover: Value, grey: Value, rule: DrawingRule) -> Value:
    """Return tones, float32 [28, 28] in 0..1: negated, and stretched between two percentiles of the cloth."""
    inside = g.add("Greater", cover, 0.5)
    pixels = IMAGE_SIDE * IMAGE_SIDE
    ordered = sorted_down(g, g.reshape(g.add("Where", inside, grey, -1.0), pixels), pixels)
    count = g.add("ReduceSum", g.cast(inside, np.float32), keepdims=0)
    rank = g.add("Max", g.add("Sub", count, 1.0), 0.0)
    high, low = (_at_share(g, ordered, rank, np.float32(1) - np.float32(share)) for share in (rule.high, rule.low))
    span = g.add("Max", g.add("Sub", high, low), rule.span)
    position = g.add("Div", g.add("Sub", grey, _half(g, g.add("Add", high, low))), span)
    return g.add("Sub", 1.0, g.add("Clip", g.add("Add", position, 0.5), 0.0, 1.0))


def _at_share(g: GraphBuilder, ordered: Value, rank: Value, share: np.float32) -> Value:
    place = g.cast(g.add("Floor", g.add("Mul", rank, share)), np.int64)
    return g.add("Gather", ordered, place)


def rendered(g: GraphBuilder, photo: Photo, logits: Value, rule: DrawingRule) -> tuple[Value, Value]:
    """Return (level [28, 28], mask [96, 96]), float32 in 0..255, from mask logits [96, 96]."""
    probability = g.add("Sigmoid", logits)
    mask = g.add("Mul", probability, kept(g, probability, rule))
    cover, grey = cut(g, photo, mask, rule)
    tone = stretched(g, cover, grey, rule)
    bright = g.add("Add", g.add("Mul", tone, float(np.float32(1) - np.float32(rule.floor))), rule.floor)
    return g.add("Mul", g.add("Mul", cover, bright), 255.0), g.add("Mul", mask, 255.0)
