"""What the photo model's batches are drawn from: squares in memory, cut-out garments, grounds, drawn pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
import PIL.ImageFont
from numpy.typing import NDArray

from fmnist_edge.dataset import Split
from fmnist_edge.pictures import OnDone, Picture, accepted_matrix, decode, load_squares, read_bytes

NEAR_WHITE: Final = 236  # the darkest channel of a catalogue's ground
WHITE_BORDER: Final = 0.8  # share of the border that must be near white for a garment to be cut out
GARMENT_AREA: Final = (0.04, 0.85)  # of the square; outside this the cutting has failed
GROUND_PATCH: Final = (0.19, 0.34)  # of the shorter side: corners of this size hold floor and wall, seldom garment
COLLECTION_POWER: Final = 0.2  # a collection's share of a batch grows with its number of pictures to this power
KIND_POWER: Final = 0.5  # within a collection, a kind's share grows so
DRAWN: Final = 700
CHUNK: Final = 512


@dataclass(frozen=True, eq=False)
class Stock:
    """All that batches are drawn from; c is the side of its squares, larger than the network's."""

    pictures: NDArray[np.uint8]
    """[n, c, c, 3]"""
    accepted: NDArray[np.float32]
    """[n, 10]: 1 for a class that counts as right; no garment is a row of 0."""
    weights: NDArray[np.float64]
    """[n]: how often each picture is drawn, in sum 1."""
    cut_outs: NDArray[np.uint8]
    """[k, c, c, 4]: RGB times alpha, and alpha, of the garments on near-white grounds."""
    cut_rows: NDArray[np.int64]
    """[k]: rows of `pictures` that they were cut out of."""
    grounds: NDArray[np.uint8]
    """[g, c, c, 3]: corners of photos, enlarged."""
    drawn: NDArray[np.uint8]
    """[d, c, c, 3]: drawn pictures of no garment."""
    images: Split
    """Fashion-MNIST's training images."""


def load_stock(pictures: Sequence[Picture], images: Split, side: int, seed: int, on_done: OnDone) -> Stock:
    """Read all pictures into squares of that side and make the rest of the stock from them. Raises DataError.

    `on_done` is told each picture that was read, and again each that a garment or a ground was cut out of.
    """
    rng = np.random.default_rng(seed)
    squares = load_squares(pictures, side, vary=True, on_done=on_done)
    accepted = accepted_matrix(pictures)
    on_white = white_borders(squares)
    rows = np.flatnonzero(on_white & (accepted.max(1, initial=0) > 0))
    cut_outs, found = cut_out(squares[rows], on_done)
    photos = [picture for picture, white in zip(pictures, on_white, strict=True) if not white]
    return Stock(
        pictures=squares,
        accepted=accepted,
        weights=balanced_weights(pictures),
        cut_outs=cut_outs[found],
        cut_rows=rows[found],
        grounds=corner_patches(photos, side, rng, on_done),
        drawn=np.stack([draw_no_garment(rng, side) for _ in range(DRAWN)]),
        images=images,
    )


def balanced_weights(pictures: Sequence[Picture]) -> NDArray[np.float64]:
    """Return how often each picture is drawn: float64 [n], in sum 1; large collections and kinds are held back."""
    collections = Counter(picture.collection for picture in pictures)
    kinds = Counter((picture.collection, picture.kind) for picture in pictures)
    within = {
        one: sum(number**KIND_POWER for (collection, _), number in kinds.items() if collection == one)
        for one in collections
    }
    weights = [
        collections[one.collection] ** COLLECTION_POWER
        * kinds[one.collection, one.kind] ** (KIND_POWER - 1)
        / within[one.collection]
        for one in pictures
    ]
    total = np.array(weights, np.float64)
    return total / total.sum()


def white_borders(squares: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which squares, uint8 [n, c, c, 3], have a near-white border: bool [n]."""
    border = np.concatenate([squares[:, 0], squares[:, -1], squares[:, :, 0], squares[:, :, -1]], axis=1)
    result: NDArray[np.bool_] = (border.min(axis=2) >= NEAR_WHITE).mean(axis=1) >= WHITE_BORDER
    return result


def cut_out(
    squares: NDArray[np.uint8], on_done: OnDone = lambda _count: None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return garments as uint8 [n, c, c, 4] (RGB times alpha, alpha), and which of them look whole: bool [n].

    The ground is what is near white and connected to the border; the garment is the rest, opened to lose specks,
    its outline softened.
    """
    result = np.empty((*squares.shape[:3], 4), np.uint8)
    for start in range(0, len(squares), CHUNK):
        part = squares[start : start + CHUNK]
        garment = ~_ground(part)
        opened = _dilated(~_dilated(~garment)) & garment
        alpha = np.clip(
            2 * _blurred(opened) - 1, 0, 1
        )  # half a pixel inside the outline, where no white shines through
        result[start : start + CHUNK, ..., :3] = np.round(part * alpha[..., None])
        result[start : start + CHUNK, ..., 3] = np.round(alpha * 255)
        on_done(len(part))
    area = (result[..., 3] > 127).mean(axis=(1, 2))
    return result, (area > GARMENT_AREA[0]) & (area < GARMENT_AREA[1])


def corner_patches(
    photos: Sequence[Picture], side: int, rng: np.random.Generator, on_done: OnDone = lambda _count: None
) -> NDArray[np.uint8]:
    """Return a corner of each photo, enlarged: uint8 [n, side, side, 3]."""
    patches = np.empty((len(photos), side, side, 3), np.uint8)
    for row, data in enumerate(read_bytes(photos)):
        image = decode(data, 2 * side)
        length = max(1, round(min(image.size) * rng.uniform(*GROUND_PATCH)))
        left = int(rng.integers(2)) * (image.width - length)
        top = int(rng.integers(2)) * (image.height - length)
        box = (left, top, left + length, top + length)
        patches[row] = np.asarray(image.resize((side, side), PIL.Image.Resampling.BICUBIC, box))
        on_done(1)
    return patches


def draw_no_garment(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw a picture that shows no garment: noise, a gradient, stripes, shapes, text or a digit."""
    ways = (_noise, _gradient, _stripes, _shapes, _text, _digit, _digit)
    return ways[rng.integers(len(ways))](rng, side)


def _ground(squares: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return what is near white and connected to the border: bool [n, c, c]."""
    white = squares.min(axis=3) >= NEAR_WHITE
    reached = np.zeros_like(white)
    reached[:, 0], reached[:, -1], reached[:, :, 0], reached[:, :, -1] = (
        white[:, 0],
        white[:, -1],
        white[:, :, 0],
        white[:, :, -1],
    )
    count = -1
    while (now := int(reached.sum())) != count:
        count = now
        for _ in range(8):
            reached = _dilated(reached) & white
    return reached


def _dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grow masks, bool [n, c, c], by one pixel up, down, left and right."""
    grown = mask.copy()
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    grown[:, :, 1:] |= mask[:, :, :-1]
    grown[:, :, :-1] |= mask[:, :, 1:]
    return grown


def _blurred(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Soften outlines by (1, 2, 1) / 4 both ways: a deviation of 0.7 pixels."""
    soft: NDArray[np.float32] = mask.astype(np.float32)
    for axis in (1, 2):
        padded = np.pad(soft, [(1, 1) if one == axis else (0, 0) for one in range(3)], mode="edge")
        parts = [np.take(padded, np.arange(start, start + soft.shape[axis]), axis) for start in range(3)]
        soft = ((parts[0] + 2 * parts[1] + parts[2]) / 4).astype(np.float32)
    return soft


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Return any colour; a third of the time black or white."""
    if rng.random() < 1 / 3:
        return (0, 0, 0) if rng.random() < 0.5 else (255, 255, 255)
    red, green, blue = (int(one) for one in rng.integers(256, size=3))
    return red, green, blue


def _noise(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    cells = int(rng.integers(2, side))
    channels = 1 if rng.random() < 0.5 else 3
    noise = np.broadcast_to(rng.integers(0, 256, (cells, cells, channels)), (cells, cells, 3)).astype(np.uint8)
    resample = PIL.Image.Resampling.NEAREST if rng.random() < 0.5 else PIL.Image.Resampling.BICUBIC
    return np.asarray(PIL.Image.fromarray(noise).resize((side, side), resample))


def _gradient(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    axis = np.linspace(0, 1, side)
    x, y = rng.uniform(-1, 1, 2)
    ramp = (np.add.outer(axis * y, axis * x) + abs(x) + abs(y)) / (2 * (abs(x) + abs(y)) + 1e-6)
    first, second = np.array(_colour(rng)), np.array(_colour(rng))
    mixed = first + ramp[..., None] * (second - first) * (rng.random() < 0.7)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _stripes(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    axis = np.arange(side)
    period = rng.uniform(3, side / 2)
    angle = rng.uniform(0, np.pi)
    wave = np.sin(2 * np.pi * np.add.outer(axis * np.sin(angle), axis * np.cos(angle)) / period) > 0
    if rng.random() < 0.4:
        wave ^= np.sin(2 * np.pi * np.add.outer(axis * np.cos(angle), -axis * np.sin(angle)) / period) > 0
    return np.where(wave[..., None], _colour(rng), _colour(rng)).astype(np.uint8)


def _shapes(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    image = PIL.Image.new("RGB", (side, side), _colour(rng))
    draw = PIL.ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 7))):
        box = np.sort(rng.integers(-side // 4, side * 5 // 4, (2, 2)), axis=0).ravel().tolist()
        way = (draw.ellipse, draw.rectangle)[rng.integers(2)]
        way(box, fill=_colour(rng))
        draw.line(rng.integers(0, side, 4).tolist(), fill=_colour(rng), width=int(rng.integers(1, 6)))
    return np.asarray(image.filter(PIL.ImageFilter.GaussianBlur(float(rng.uniform(0, 2)))))


def _text(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    image = PIL.Image.new("RGB", (side, side), _colour(rng))
    size = float(rng.uniform(8, 24))
    lines = ["".join(map(chr, rng.integers(33, 127, 14))) for _ in range(int(side / size) + 1)]
    PIL.ImageDraw.Draw(image).multiline_text((0, 0), "\n".join(lines), _colour(rng), PIL.ImageFont.load_default(size))
    return np.asarray(image)


def _digit(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw a digit or letter as large as the square, as in MNIST."""
    back = _colour(rng)
    image = PIL.Image.new("RGB", (side, side), back)
    front = _colour(rng)
    while sum(abs(a - b) for a, b in zip(front, back, strict=True)) < 200:
        front = _colour(rng)
    signs = "0123456789" if rng.random() < 0.8 else "ABCDEFGHKLMNPRSTUVWXYZ"
    font = PIL.ImageFont.load_default(float(rng.uniform(0.6, 1.1)) * side)
    draw = PIL.ImageDraw.Draw(image)
    middle = (side / 2 + rng.normal(0, side / 20), side / 2 + rng.normal(0, side / 20))
    width = int(rng.integers(0, 4))
    draw.text(middle, signs[rng.integers(len(signs))], front, font, anchor="mm", stroke_width=width, stroke_fill=front)
    turned = image.rotate(float(rng.normal(0, 12)), PIL.Image.Resampling.BILINEAR, fillcolor=back)
    return np.asarray(turned.filter(PIL.ImageFilter.GaussianBlur(float(rng.uniform(0, 1.5)))))
