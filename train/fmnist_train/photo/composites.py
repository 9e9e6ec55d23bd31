"""Composites: a garment, or a pair of shoes, on a background, and its mask.

The segmenter learns from these alone in the recipe `fmnist-only`. Everything is drawn at the
segmenter's input size; one composite takes about 4 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fmnist_train.photo.backgrounds import background as drawn_background
from fmnist_train.photo.garments import SHOES, Garment, Images, Rng, placed, silhouettes
from fmnist_train.photo.noise import (
    Picture,
    Plane,
    blurred,
    colour,
    coordinates,
    mixed,
    near,
    smooth,
)

Labels = NDArray[np.integer]
BAGS = 8


@dataclass(frozen=True)
class CompositeRecipe:
    """How often what happens. Chosen by looking at sheets of composites beside train photos."""

    size: int = 96
    alike: float = 0.35  # garment coloured like its background
    pairs: float = 0.6  # of shoes: two, side by side or seen from above
    from_above: float = 0.5  # of pairs
    hangers: float = 0.15
    strangers: float = 0.15  # a second garment, cut by the border, that is background
    shoe_share: float = 0.2
    bag_share: float = 0.05


@dataclass(frozen=True)
class Composite:
    """A drawn photo, its mask (0..255) and the labels that are right for it."""

    photo: NDArray[np.uint8]  # [size, size, 3]
    mask: NDArray[np.uint8]  # [size, size]
    allowed: tuple[int, ...]


class Compositor:
    """Draws composites from Fashion-MNIST images [n, 28, 28] and labels [n]."""

    def __init__(
        self,
        images: Images,
        labels: Labels,
        recipe: CompositeRecipe,
        background: Callable[[Rng, int], Picture] = drawn_background,
    ) -> None:
        self.images, self.labels, self.recipe = images, labels, recipe
        self.masks = silhouettes(images)
        self.background = background
        self.groups = {
            "shoes": np.nonzero(np.isin(labels, SHOES))[0],
            "bags": np.nonzero(labels == BAGS)[0],
            "clothes": np.nonzero(~np.isin(labels, (*SHOES, BAGS)))[0],
        }

    def draw(self, rng: Rng) -> Composite:
        """One composite, at random."""
        recipe = self.recipe
        scene = self.background(rng, recipe.size)
        mean = scene.mean((0, 1))
        if rng.random() < recipe.strangers:
            scene = self._with_stranger(rng, scene)
        parts, allowed = self._subject(rng, mean)
        alpha = np.max([part.alpha for part in parts], 0)
        scene = _shadowed(rng, scene, alpha)
        if rng.random() < recipe.hangers:
            scene = _with_hanger(rng, scene, alpha)
        for part in parts:
            scene = mixed(scene, part.colours, part.alpha)
        return Composite(_developed(rng, scene), (np.clip(alpha, 0, 1) * 255).astype(np.uint8), allowed)

    def _subject(self, rng: Rng, mean: Picture) -> tuple[list[Garment], tuple[int, ...]]:
        """The parts the mask shall cover (one garment, or two shoes) and the labels they may get."""
        recipe = self.recipe
        shares = [recipe.shoe_share, recipe.bag_share, 1 - recipe.shoe_share - recipe.bag_share]
        group = rng.choice(["shoes", "bags", "clothes"], p=shares)
        base = near(rng, mean, rng.uniform(0.1, 0.4)) if rng.random() < recipe.alike else colour(rng)
        centre = (rng.normal(0, 0.1), rng.normal(0, 0.1))
        scale = min(rng.uniform(0.5, 1.0), 1.05 - max(map(abs, centre)) * 0.7)
        if group == "shoes" and rng.random() < recipe.pairs:
            return self._pair(rng, base, centre, scale), SHOES
        index = int(rng.choice(self.groups[str(group)]))
        return [self._garment(rng, index, base, centre, scale)], (int(self.labels[index]),)

    def _garment(self, rng: Rng, index: int, base: Picture, centre: tuple[float, float], scale: float) -> Garment:
        label = int(self.labels[index])
        return placed(rng, self.images[index], self.masks[index], label, self.recipe.size, centre, scale, base)

    def _pair(self, rng: Rng, base: Picture, centre: tuple[float, float], scale: float) -> list[Garment]:
        angle, apart = rng.uniform(0, np.pi), scale * rng.uniform(0.3, 0.5)
        above = rng.random() < self.recipe.from_above
        if above:
            angle = rng.normal(0, 0.3)
        shift = np.asarray([np.cos(angle), np.sin(angle)]) * apart
        shape = rng.uniform(0.3, 0.5), rng.uniform(0, 0.25), rng.normal(0, 0.3)
        parts = []
        for side in (-1.0, 1.0):
            at = (centre[0] + side * shift[0], centre[1] + side * shift[1])
            if above:
                parts.append(_shoe_from_above(rng, self.recipe.size, at, scale * 0.9, base, shape, side))
            else:
                index = int(rng.choice(self.groups["shoes"]))
                parts.append(self._garment(rng, index, base, at, scale * rng.uniform(0.55, 0.75)))
        return parts

    def _with_stranger(self, rng: Rng, scene: Picture) -> Picture:
        angle = rng.uniform(0, 2 * np.pi)
        at = (1.35 * np.cos(angle), 1.35 * np.sin(angle))
        index = int(rng.choice(self.groups["clothes"]))
        other = self._garment(rng, index, colour(rng), at, rng.uniform(0.4, 0.8))
        return mixed(scene, other.colours, other.alpha)


def _shoe_from_above(
    rng: Rng,
    size: int,
    centre: tuple[float, float],
    length: float,
    base: Picture,
    shape: tuple[float, float, float],
    side: float,
) -> Garment:
    """A sole outline with a waist and an opening: what shoes look like to someone standing."""
    width, waist, turn = shape
    x, y = coordinates(size, turn * side + rng.normal(0, 0.08))
    cx = np.cos(turn * side) * centre[0] + np.sin(turn * side) * centre[1]
    cy = np.cos(turn * side) * centre[1] - np.sin(turn * side) * centre[0]
    u, v = (x - cx) / length, (y - cy) / length
    half = width * (1 - waist * np.exp(-(((v - 0.2) / 0.3) ** 2))) * np.sqrt(np.clip(1 - np.abs(v) ** 3, 0, 1))
    alpha = np.clip((half - np.abs(u - 0.1 * side * v * v)) * size * length / 3, 0, 1).astype(np.float32)
    light = 1 + smooth(rng, size, 8) * 0.1 - np.abs(u / width) * rng.uniform(0, 0.4)
    opening = (u / (width * 0.6)) ** 2 + ((v - rng.uniform(0.3, 0.5)) / rng.uniform(0.2, 0.45)) ** 2 < 1
    inner = near(rng, base, 0.6) if rng.random() < 0.5 else colour(rng)
    cloth = mixed(np.broadcast_to(base, (size, size, 3)), inner, opening.astype(np.float32))
    return Garment(alpha, np.asarray(cloth * light[..., None], np.float32))


def _shadowed(rng: Rng, scene: Picture, alpha: Plane) -> Picture:
    shift = rng.integers(-3, 4, 2)
    shade = blurred(np.roll(alpha, tuple(shift), (0, 1)), rng.uniform(2, 6)) * rng.uniform(0, 0.45)
    return scene * (1 - np.clip(shade, 0, 1)[..., None])


def _with_hanger(rng: Rng, scene: Picture, alpha: Plane) -> Picture:
    """A bar across the garment's shoulders, behind it, and a hook above."""
    rows, columns = np.nonzero(alpha > 0.5)
    if not rows.size:
        return scene
    size = alpha.shape[0]
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    middle, top = columns.mean(), rows.min()
    slope = rng.uniform(0.2, 0.5)
    bar = (np.abs(y - top + 2 - slope * np.abs(x - middle)) < rng.uniform(0.8, 2)) & (np.abs(x - middle) < size * 0.2)
    hook = (np.abs(x - middle) < rng.uniform(0.5, 1.2)) & (y < top) & (y > top - size * rng.uniform(0.05, 0.3))
    return mixed(scene, colour(rng), (bar | hook).astype(np.float32))


def _developed(rng: Rng, scene: Picture) -> NDArray[np.uint8]:
    """What a phone does: white balance, exposure, contrast, softness, noise, 8 bits."""
    scene = scene * np.exp(rng.normal(0, 0.06, 3)) * np.exp(rng.normal(0, 0.15))
    scene = np.clip(scene, 0, 1) ** np.exp(rng.normal(0, 0.15))
    scene = scene + rng.normal(0, rng.uniform(0, 0.025), scene.shape)
    return (np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class CompositePool:
    """Many composites."""

    FIELDS: ClassVar = ("photos", "masks", "allowed")

    photos: NDArray[np.uint8]
    """[n, size, size, 3], RGB."""
    masks: NDArray[np.uint8]
    """[n, size, size], 0..255."""
    allowed: NDArray[np.bool_]
    """[n, 10]: the labels that are right."""


def pool(compositor: Compositor, numbers: range, seed: int) -> CompositePool:
    """Return the composites of these numbers; each depends on its number and the seed alone."""
    count, size = len(numbers), compositor.recipe.size
    photos, masks = np.empty((count, size, size, 3), np.uint8), np.empty((count, size, size), np.uint8)
    allowed = np.zeros((count, 10), bool)
    for row, number in enumerate(numbers):
        one = compositor.draw(np.random.default_rng((seed, number)))
        photos[row], masks[row] = one.photo, one.mask
        allowed[row, list(one.allowed)] = True
    return CompositePool(photos, masks, allowed)
