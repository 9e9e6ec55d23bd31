"""Drawn scenes and things: what `unsure` is for, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fmnist_train.photo.noise import colour, smooth

Photo = NDArray[np.uint8]  # [height, width, 3]
Rng = np.random.Generator
Pen = ImageDraw.ImageDraw
Thing = Callable[[Pen, Rng, float, float, float], None]
"""Draws a thing of half-size r around (x, y): pen, rng, x, y, r."""


def to_bytes(scene: NDArray[np.floating]) -> Photo:
    """Return uint8 0..255 of a scene in 0..1, clipped and rounded."""
    return (np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8)


def canvas(rng: Rng, base: tuple[int, ...] | None = None) -> tuple[Image.Image, Pen]:
    """Return a picture of one colour, 240..479 pixels a side, and a pen to draw on it."""
    size = (int(rng.integers(240, 480)), int(rng.integers(240, 480)))
    image = Image.new("RGB", size, base or any_ink(rng))
    return image, ImageDraw.Draw(image)


def any_ink(rng: Rng) -> tuple[int, ...]:
    """Return a random colour, RGB 0..255."""
    return tuple(int(v) for v in colour(rng) * 255)


def finished(rng: Rng, image: Image.Image) -> Photo:
    """Return the pixels of a picture with some noise."""
    scene = np.asarray(image, np.float32) / 255
    return to_bytes(scene + rng.normal(0, rng.uniform(0, 0.03), scene.shape))


def scene(rng: Rng) -> Photo:
    """A landscape: sky, sun, hills, a house, trees."""
    image, pen = canvas(rng, (int(rng.integers(90, 200)), int(rng.integers(150, 220)), 240))
    width, height = image.size
    sun, x = int(rng.integers(15, 50)), rng.uniform(0, width)
    pen.ellipse([x - sun, 40 - sun, x + sun, 40 + sun], (250, 220, 80))
    for level in range(int(rng.integers(1, 4))):
        edge = height * (0.45 + 0.15 * level) + smooth(rng, 64, 6)[0] * height * 0.06
        points = [(k * width / 63, float(edge[k])) for k in range(64)]
        pen.polygon([*points, (width, height), (0, height)], any_ink(rng))
    for _ in range(int(rng.integers(0, 6))):
        x, y, h = rng.uniform(0, width), height * rng.uniform(0.6, 0.95), height * rng.uniform(0.1, 0.35)
        pen.rectangle([x - 4, y - h * 0.4, x + 4, y], (90, 60, 30))
        pen.ellipse([x - h * 0.3, y - h, x + h * 0.3, y - h * 0.3], (30, int(rng.integers(80, 170)), 40))
    if rng.random() < 0.6:
        _house(rng, pen, rng.uniform(0.1, 0.6) * width, 0.8 * height, rng.uniform(0.2, 0.4) * width)
    return finished(rng, image)


def _house(rng: Rng, pen: Pen, x: float, y: float, side: float) -> None:
    pen.rectangle([x, y - side * 0.7, x + side, y], any_ink(rng))
    pen.polygon(
        [(x - side * 0.1, y - side * 0.7), (x + side * 1.1, y - side * 0.7), (x + side / 2, y - side * 1.2)],
        any_ink(rng),
    )
    pen.rectangle([x + side * 0.4, y - side * 0.35, x + side * 0.6, y], any_ink(rng))


def thing(rng: Rng) -> Photo:
    """One thing on a plain ground: ball, cup, star, fruit, car, bottle, chair, face, ring, box."""
    image, pen = canvas(rng)
    width, height = image.size
    r = min(width, height) * rng.uniform(0.2, 0.45)
    x, y = width / 2 + rng.normal(0, 15), height / 2 + rng.normal(0, 15)
    THINGS[rng.integers(len(THINGS))](pen, rng, x, y, r)
    return finished(rng, image)


def _ball(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    pen.ellipse([x - r, y - r, x + r, y + r], any_ink(rng))
    pen.arc([x - r, y - r / 3, x + r, y + r / 3], 0, 180, any_ink(rng), 5)


def _cup(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    ink = any_ink(rng)
    pen.ellipse([x + r * 0.3, y - r * 0.5, x + r * 1.1, y + r * 0.4], outline=ink, width=max(3, int(r / 8)))
    pen.polygon([(x - r * 0.7, y - r), (x + r * 0.7, y - r), (x + r * 0.5, y + r), (x - r * 0.5, y + r)], ink)


def _star(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    points, turn = int(rng.integers(5, 9)), rng.uniform(0, 6)
    corners = [(r if k % 2 else r * 0.45, turn + k * np.pi / points) for k in range(2 * points)]
    pen.polygon([(x + a * np.cos(t), y + a * np.sin(t)) for a, t in corners], any_ink(rng))


def _fruit(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    pen.ellipse([x - r * 0.9, y - r * 0.8, x + r * 0.1, y + r * 0.8], ink := any_ink(rng))
    pen.ellipse([x - r * 0.1, y - r * 0.8, x + r * 0.9, y + r * 0.8], ink)
    pen.line([x, y - r * 0.6, x + r * 0.2, y - r * 1.1], (80, 50, 20), 6)


def _car(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    pen.rectangle([x - r, y - r * 0.2, x + r, y + r * 0.3], ink := any_ink(rng))
    pen.polygon(
        [
            (x - r * 0.6, y - r * 0.2),
            (x - r * 0.4, y - r * 0.6),
            (x + r * 0.3, y - r * 0.6),
            (x + r * 0.6, y - r * 0.2),
        ],
        ink,
    )
    for side in (-0.55, 0.55):
        pen.ellipse([x + r * (side - 0.22), y + r * 0.1, x + r * (side + 0.22), y + r * 0.54], (20, 20, 20))


def _bottle(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    pen.rounded_rectangle([x - r * 0.35, y - r * 0.4, x + r * 0.35, y + r], r * 0.1, ink := any_ink(rng))
    pen.rectangle([x - r * 0.12, y - r, x + r * 0.12, y - r * 0.3], ink)
    pen.rectangle([x - r * 0.35, y, x + r * 0.35, y + r * 0.5], any_ink(rng))


def _chair(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    ink, w = any_ink(rng), max(4, int(r / 8))
    pen.line([(x - r * 0.5, y - r), (x - r * 0.5, y + r)], ink, w)
    pen.line([(x - r * 0.5, y), (x + r * 0.5, y), (x + r * 0.5, y + r)], ink, w)
    pen.line([(x - r * 0.5, y - r * 0.6), (x - r * 0.1, y - r * 0.6)], ink, w)


def _face(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    pen.ellipse([x - r * 0.8, y - r, x + r * 0.8, y + r], any_ink(rng))
    for side in (-0.3, 0.3):
        pen.ellipse([x + r * (side - 0.1), y - r * 0.35, x + r * (side + 0.1), y - r * 0.15], (20, 20, 30))
    pen.arc([x - r * 0.4, y - r * 0.1, x + r * 0.4, y + r * 0.5], 20, 160, (120, 30, 30), 5)


def _ring(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    pen.ellipse([x - r, y - r, x + r, y + r], outline=any_ink(rng), width=int(r * rng.uniform(0.1, 0.5)))


def _box(pen: Pen, rng: Rng, x: float, y: float, r: float) -> None:
    tall = rng.uniform(0.3, 1.0)
    pen.rectangle([x - r, y - r * tall, x + r, y + r * tall], any_ink(rng))
    pen.line([(x - r, y), (x + r, y)], any_ink(rng), 4)


THINGS: Final[tuple[Thing, ...]] = (_ball, _cup, _star, _fruit, _car, _bottle, _chair, _face, _ring, _box)
