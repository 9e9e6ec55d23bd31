"""Recipes of the photo model's two parts: everything that decides a training, but for the data and the seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from fmnist_train.photo.composites import CompositeRecipe
from fmnist_train.photo.jitter import JitterRecipe
from fmnist_train.photo.pictures import PictureRecipe
from fmnist_train.photo.redrawing_recipe import RedrawingRecipe


@dataclass(frozen=True)
class SegmenterRecipe:
    """How the segmenter is built and fitted. It sees composites of Fashion-MNIST images alone, no photo."""

    name: str
    composites: CompositeRecipe = field(default_factory=CompositeRecipe)
    """How they are drawn."""
    pool: int = 32_000
    """Composites drawn before the training; each is seen many times, changed every time."""
    held_out: int = 512
    """Composites of the validation images, for the record's figures."""
    widths: tuple[int, ...] = (16, 24, 32, 40)
    """Channels of the levels, from 48x48 down to 6x6; the first study had 12/24/32/32 from 48x48 thumbnails."""
    steps: int = 6_000
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
    redrawn: int
    """Rows of training images redrawn as the photo model draws photos."""
    images: int
    """Rows of plain training images."""
    negatives: int
    """Rows of pictures of what is no garment; borders of train photos among them only if photos are used."""
    views: int = 12
    """Pictures of changed versions of each photo."""
    redrawings: int = 3
    """Times that training images are redrawn."""
    redrawn_images: int = 55_000
    """How many of them: the first ones."""
    redrawing: RedrawingRecipe = field(default_factory=RedrawingRecipe)
    """How."""
    weights: tuple[float, ...] = (1.0,) * 10
    """How often each label is drawn among redrawn and plain images, in proportion."""
    negative_pool: int = 1_050
    """Negatives drawn."""
    jitter: JitterRecipe = field(default_factory=JitterRecipe)
    """How photos are changed."""
    light: PictureRecipe = field(default_factory=PictureRecipe)
    """How drawn pictures are changed again."""
    strong: PictureRecipe = field(default_factory=lambda: PictureRecipe(lift=0.3))
    """How plain images are changed: sleeves lifted, since people spread them where the dataset hangs them."""
    steps: int = 6_000
    """Batches."""
    learning_rate: float = 3e-3
    """Peak of one half cosine."""
    weight_decay: float = 1e-2
    """Of AdamW."""
    averaging: float = 0.999
    """Momentum of the moving average of the weights."""
    smoothing: float = 0.05
    """Share of the uniform distribution in the targets."""


HEAD_DEFAULT: Final = HeadRecipe(
    "default",
    photos=224,
    redrawn=0,
    images=32,
    negatives=16,
    views=16,
    light=PictureRecipe(noise=40.0),
    weight_decay=0.1,
)
"""The shipped head: train photos, plain images, negatives.

Chosen by cross-validation on the train photos: docs/photos.md has the table.
"""

HEAD_FMNIST_ONLY: Final = HeadRecipe(
    "fmnist-only",
    photos=0,
    redrawn=160,
    images=80,
    negatives=16,
    strong=PictureRecipe(),
    weights=(1.6, 1.2, 1.4, 1.0, 0.7, 0.5, 0.8, 0.5, 0.3, 0.5),
)
"""No photo is seen: how far Fashion-MNIST alone carries.

The weights are what people photograph, roughly: t-shirts often, bags seldom. They were chosen, with the shares of the
redrawing, by the accuracy on the train photos, which choose but never train here.
"""

HEAD_RECIPES: Final[Mapping[str, HeadRecipe]] = MappingProxyType(
    {recipe.name: recipe for recipe in (HEAD_DEFAULT, HEAD_FMNIST_ONLY)}
)


@dataclass(frozen=True)
class TuningRecipe:
    """How a trained segmenter is tuned on photos: see `segmenter_tuning`. Chosen on thirds of the train photos."""

    name: str
    head: HeadRecipe = field(default_factory=lambda: replace(HEAD_DEFAULT, views=4, steps=4_000))
    """Of the heads that are held fixed meanwhile."""
    heads: int = 2
    composites: CompositeRecipe = field(default_factory=CompositeRecipe)
    pool: int = 4_000
    """Composites drawn."""
    jitter: JitterRecipe = field(default_factory=JitterRecipe)
    """How photos are changed."""
    long_side: int = 320
    """Pixels that photos are reduced to, so that all fit into memory."""
    steps: int = 1_500
    """Batches."""
    batch: int = 12
    """Composites, and as many photos, a step."""
    learning_rate: float = 3e-4
    """Peak of one half cosine."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    label_share: float = 0.5
    """Weight of the labels' loss; that of the composites' masks is 1."""
    memory_share: float = 0.3
    """Weight of the loss towards what the segmenter was sure of before."""


TUNING_RECIPES: Final[Mapping[str, TuningRecipe]] = MappingProxyType(
    {recipe.name: recipe for recipe in (TuningRecipe("photos"),)}
)
"""Of the segmenter, too, beside SEGMENTER_RECIPES."""
