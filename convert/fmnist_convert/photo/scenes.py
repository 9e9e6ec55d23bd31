"""Drawn photos: garments of the dataset, tinted and enlarged, on grounds that no training has seen.

They stand in for real photos where none are at hand: for calibration, for the parity gate, for tests and devices.
Nothing here is shared with the composites that the segmenter is trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

Picture = NDArray[np.float32]
SILHOUETTE: Final = 12  # grey level above which a pixel of an enlarged dataset image is garment
MIN_CONTRAST: Final = 60.0  # of the mean colours of garment and ground, Euclidean in RGB levels: people see it at once


def draw_scene(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Return a photo-like picture, uint8 [height, width, 3], of one dataset image, uint8 [28, 28].

    The garment takes 45..75 % of the shorter side and is turned by up to 10 degrees.
    """
    height, width = (int(side) for side in random.integers(260, 420, 2))
    cover, tone = _garment(image, int(min(height, width) * random.uniform(0.45, 0.75)), random)
    ground = _GROUNDS[int(random.integers(len(_GROUNDS)))](height, width, random)
    colours = tone[..., None] * _tint(ground, tone, cover, random)
    top, left = (int(random.uniform(0.15, 0.85) * room) for room in (height - len(cover), width - len(cover)))
    _cast_shadow(ground, cover, top, left)
    place = ground[top : top + len(cover), left : left + len(cover)]
    place += cover[..., None] * (colours - place)
    noisy = ground + random.normal(0, random.uniform(1, 5), ground.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def draw_scenes(images: NDArray[np.uint8], seed: int) -> list[NDArray[np.uint8]]:
    """Return one scene for each dataset image, uint8 [n, 28, 28]; scene i depends on image i, i and `seed` alone."""
    return [draw_scene(image, np.random.default_rng((seed, number))) for number, image in enumerate(images)]


def _garment(image: NDArray[np.uint8], side: int, random: np.random.Generator) -> tuple[Picture, Picture]:
    """Return cover and tone, float32 [side, side] in 0..1: the dataset shows garments negated."""
    large = PIL.Image.fromarray(image).resize((side, side), PIL.Image.Resampling.BICUBIC)
    turned = np.asarray(large.rotate(random.uniform(-10, 10), PIL.Image.Resampling.BICUBIC), np.float32)
    cover = np.clip((turned - SILHOUETTE) / SILHOUETTE + 0.5, 0, 1)
    tone = 1 - turned / 255 * 0.85
    return np.asarray(cover, np.float32), np.asarray(tone, np.float32)


def _tint(ground: Picture, tone: Picture, cover: Picture, random: np.random.Generator) -> Picture:
    """Return a colour, float32 [3], with which the garment stands out from the ground's mean."""
    mean_tone = float((tone * cover).sum() / max(float(cover.sum()), 1.0))
    mean_ground = ground.reshape(-1, 3).mean(axis=0)
    colours = random.uniform(20, 255, (50, 3))
    distance = np.linalg.norm(colours * mean_tone - mean_ground, axis=1)
    far_enough = np.flatnonzero(distance >= MIN_CONTRAST)
    chosen = far_enough[0] if len(far_enough) else int(distance.argmax())
    return np.asarray(colours[chosen], np.float32)


def _cast_shadow(ground: Picture, cover: Picture, top: int, left: int) -> None:
    """Darken the ground a little below and beside the garment, in place."""
    rows, columns = ground.shape[0] - top, ground.shape[1] - left
    shadow = cover[: rows - 3, : columns - 3]
    ground[top + 3 : top + 3 + len(shadow), left + 3 : left + 3 + shadow.shape[1]] *= 1 - 0.25 * shadow[..., None]


def _axes(height: int, width: int) -> tuple[Picture, Picture]:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return rows / height, columns / width


def _colour(random: np.random.Generator, low: float = 30, high: float = 240) -> Picture:
    """Return a muted colour, float32 [3]: a grey level with a little hue."""
    return np.asarray(np.clip(random.uniform(low, high) + random.normal(0, 18, 3), 0, 255), np.float32)


def _carpet(height: int, width: int, random: np.random.Generator) -> Picture:
    """Return a woven ground: grain of two sizes on one colour."""
    coarse = random.normal(0, 7, (height // 6 + 1, width // 6 + 1)).repeat(6, 0).repeat(6, 1)[:height, :width]
    grain = coarse + random.normal(0, 6, (height, width))
    return np.asarray(_colour(random) + grain[..., None], np.float32)


def _boards(height: int, width: int, random: np.random.Generator) -> Picture:
    """Return floor boards: long stripes of slightly different brown, with dark joints and a wavy grain."""
    rows, columns = _axes(height, width)
    count = int(random.integers(4, 8))
    board = np.floor(columns * count).astype(int)
    shade = random.normal(0, 9, count)[board] + 5 * np.sin(60 * columns + 6 * np.sin(5 * rows))
    joint = np.where((columns * count) % 1 < 0.03, -35.0, 0.0)
    base = np.array([random.uniform(110, 200)] * 3) * [1.0, 0.78, 0.58]
    return np.asarray(base + (shade + joint)[..., None], np.float32)


def _bedspread(height: int, width: int, random: np.random.Generator) -> Picture:
    """Return a soft ground: slow waves of light over one colour, as of cloth."""
    rows, columns = _axes(height, width)
    waves = np.zeros((height, width), np.float32)
    for _ in range(4):
        fast, slow = random.uniform(-9, 9, 2)
        waves += np.sin(fast * rows + slow * columns + random.uniform(0, 6)).astype(np.float32)
    return np.asarray(_colour(random, 60) + 6 * waves[..., None], np.float32)


def _wall(height: int, width: int, random: np.random.Generator) -> Picture:
    """Return a lit wall: one colour that darkens to one side, with a skirting board below."""
    rows, columns = _axes(height, width)
    light = 1 - random.uniform(0, 0.35) * columns - random.uniform(0, 0.2) * rows
    ground = _colour(random, 120) * light[..., None]
    ground[rows > 0.93] *= 0.7
    return np.asarray(ground, np.float32)


_GROUNDS: Final[tuple[Callable[[int, int, np.random.Generator], Picture], ...]] = (_carpet, _boards, _bedspread, _wall)
