"""Pictures of what is neither clothes nor shoes: what `unsure` is for.

Training draws them with one seed (TRAIN_SEED), its figures and tests with another (TEST_SEED).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from fmnist_train.photo.noise import colour, fractal
from fmnist_train.photo.photos import read_photo
from fmnist_train.photo.things import any_ink, canvas, finished, scene, thing, to_bytes

Photo = NDArray[np.uint8]  # [height, width, 3]
Rng = np.random.Generator

TRAIN_SEED: Final = 1_000
TEST_SEED: Final = 7
WORDS: Final = (
    "edge",
    "INVOICE",
    "total 42.10",
    "Lorem ipsum dolor sit amet",
    "exit",
    "www.example.org",
    "No 7",
    "Tuesday",
)


def negatives(count: int, seed: int, borders_of: Sequence[Path] = ()) -> tuple[list[Photo], list[str]]:
    """Return `count` pictures, uint8 [height, width, 3], and their kinds in turn; `border` only where photos are named.

    Picture i depends on the seed, i and the photos alone.
    """
    names = [*KINDS, *(["border"] if borders_of else [])]
    kinds = [names[index % len(names)] for index in range(count)]
    return [_drawn(kind, np.random.default_rng((seed, index)), borders_of) for index, kind in enumerate(kinds)], kinds


def _drawn(kind: str, rng: Rng, borders_of: Sequence[Path]) -> Photo:
    if kind == "border":
        return border(rng, read_photo(borders_of[int(rng.integers(len(borders_of)))]))
    return KINDS[kind](rng)


def _noise(rng: Rng) -> Photo:
    """Pixel noise, grey or coloured, fine or coarse."""
    cell, channels = int(rng.choice([1, 2, 8, 32])), int(rng.choice([1, 3]))
    grid = rng.uniform(0, 1, (256 // cell + 1, 320 // cell + 1, channels))
    scene = np.kron(grid, np.ones((cell, cell, 1)))[:256, :320]
    return to_bytes(np.broadcast_to(0.5 + (scene - 0.5) * rng.uniform(0.2, 1), (256, 320, 3)))


def _clouds(rng: Rng) -> Photo:
    share = np.clip(0.5 + fractal(rng, 256, rng.uniform(2, 12), 4) * 0.4, 0, 1)[..., None]
    return to_bytes(colour(rng) * share + colour(rng) * (1 - share))


def _gradient(rng: Rng) -> Photo:
    axis = np.linspace(-1, 1, 256)
    x, y = np.meshgrid(axis, axis)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.hypot(x, y) / 1.4 if rng.random() < 0.4 else (np.cos(angle) * x + np.sin(angle) * y) / 2.8 + 0.5
    ends = (colour(rng), colour(rng)) if rng.random() < 0.7 else (np.ones(3) * rng.random(), np.ones(3) * rng.random())
    return to_bytes(ends[0] * ramp[..., None] + ends[1] * (1 - ramp[..., None]))


def _text(rng: Rng) -> Photo:
    """Lines of words, black on white or coloured."""
    plain = rng.random() < 0.5
    image, pen = canvas(rng, (255, 255, 255) if plain else None)
    y = 10.0
    while y < image.size[1] - 20:
        font = ImageFont.load_default(size=float(rng.integers(14, 60)))
        pen.text((rng.uniform(5, 40), y), str(rng.choice(WORDS)), (0, 0, 0) if plain else any_ink(rng), font=font)
        y += rng.uniform(20, 80)
    return finished(rng, image)


def border(rng: Rng, photo: Photo) -> Photo:
    """A corner or an edge strip of a photo, where there is floor or wall and little cloth."""
    height, width, _ = photo.shape
    if rng.random() < 0.5:
        h, w = max(8, height // 6), max(8, width // 5)
        y, x = rng.choice([0, height - h]), rng.choice([0, width - w])
    elif rng.random() < 0.5:
        h, w = max(8, height // 12), width
        y, x = rng.choice([0, height - h]), 0
    else:
        h, w = height, max(8, width // 14)
        y, x = 0, rng.choice([0, width - w])
    return photo[y : y + h, x : x + w]


KINDS: Final[dict[str, Callable[[Rng], Photo]]] = {
    "noise": _noise,
    "clouds": _clouds,
    "gradient": _gradient,
    "scene": scene,
    "object": thing,
    "text": _text,
}
