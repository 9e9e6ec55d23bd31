"""Recipes of the photo model's two parts: everything that decides a training, but for the data and the seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from fmnist_train.photo.composites import CompositeRecipe
from fmnist_train.photo.jitter import JitterRecipe
from fmnist_train.photo.pictures import PictureRecipe


@dataclass(frozen=True)
class SegmenterRecipe:
    """How the segmenter is built and fitted. It sees composites of Fashion-MNIST images alone, no photo."""

    name: str
    composites: CompositeRecipe = field(default_factory=CompositeRecipe)
    """How they are drawn."""
    pool: int = 24_000
    """Composites drawn before the training; each is seen many times, changed every time."""
    held_out: int = 512
    """Composites of the validation images, for the record's figures."""
    widths: tuple[int, ...] = (16, 24, 32, 40)
    """Channels of the levels, from 48x48 down to 6x6; the first study had 12/24/32/32 from 48x48 thumbnails."""
    steps: int = 4_000
    """Batches."""
    batch: int = 32
    """Composites a step."""
    learning_rate: float = 3e-3
    """Peak of one half cosine."""
    weight_decay: float = 1e-4
    """Of AdamW."""


SEGMENTER_RECIPES: Final[Mapping[str, SegmenterRecipe]] = MappingProxyType(
    {recipe.name: recipe for recipe in (SegmenterRecipe("default"),)}
)


@dataclass(frozen=True)
class HeadRecipe:
    """What the head is fitted on and how. Rows are those of each kind in a batch."""

    name: str
    photos: int
    """Rows of pictures of train photos."""
    composites: int
    """Rows of pictures of composites, found by the segmenter like photos."""
    images: int
    """Rows of plain training images."""
    negatives: int
    """Rows of pictures of what is no garment; borders of train photos among them only if photos are used."""
    views: int = 12
    """Pictures of changed versions of each photo."""
    composite_pool: int = 8_000
    """Composites drawn."""
    negative_pool: int = 1_050
    """Negatives drawn."""
    jitter: JitterRecipe = field(default_factory=JitterRecipe)
    """How photos are changed."""
    light: PictureRecipe = field(default_factory=PictureRecipe)
    """How pictures that the segmenter found are changed again."""
    strong: PictureRecipe = field(default_factory=lambda: PictureRecipe(lift=0.3))
    """How plain images are changed: sleeves lifted, since people spread them where the dataset hangs them."""
    steps: int = 3_000
    """Batches."""
    learning_rate: float = 3e-3
    """Peak of one half cosine."""
    weight_decay: float = 1e-2
    """Of AdamW."""
    averaging: float = 0.999
    """Momentum of the moving average of the weights."""
    smoothing: float = 0.05
    """Share of the uniform distribution in the targets."""


HEAD_DEFAULT: Final = HeadRecipe("default", photos=232, composites=0, images=72, negatives=16)
"""The shipped head: train photos, plain images, negatives."""

HEAD_FMNIST_ONLY: Final = HeadRecipe(
    "fmnist-only",
    photos=0,
    composites=160,
    images=80,
    negatives=16,
    strong=PictureRecipe(lift=0.4, turn=0.1, scale=0.06, aspect=0.1, shear=0.05),
)
"""No photo is seen: how far Fashion-MNIST alone carries."""

HEAD_RECIPES: Final[Mapping[str, HeadRecipe]] = MappingProxyType(
    {recipe.name: recipe for recipe in (HEAD_DEFAULT, HEAD_FMNIST_ONLY)}
)
