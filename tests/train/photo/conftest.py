"""A tiny segmenter and tiny heads, trained by the real code: made once for all tests of this folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fmnist_edge.download import ACCEPTED, photos_at_hand
from fmnist_train.photo.head_training import train_head
from fmnist_train.photo.recipes import HEAD_RECIPES, SEGMENTER_RECIPES
from fmnist_train.photo.segmenter_training import train_segmenter

SEGMENTER = replace(SEGMENTER_RECIPES["default"], pool=48, held_out=8, steps=10, batch=4, widths=(4, 4, 4, 4))
HEAD = replace(HEAD_RECIPES["fmnist-only"], redrawings=2, redrawn_images=300, negative_pool=18, steps=30)
PHOTO_HEAD = replace(HEAD_RECIPES["default"], views=1, negative_pool=14, steps=20)
PHOTOS_OF_EACH = 60


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a finished training of a segmenter: record and files."""
    return train_segmenter(SEGMENTER, 5, tmp_path_factory.mktemp("segmenter"))


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory, segmenter: Any) -> Any:
    """Return a finished training of a head that saw no photo."""
    return train_head(HEAD, 5, tmp_path_factory.mktemp("head"), segmenter.files[0])


@pytest.fixture(scope="session")
def few_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with links to some train photos of each class, and none of another split."""
    found = photos_at_hand() if os.environ.get("FMNIST_PHOTOS") else None
    if found is None:
        pytest.skip("no real photos: FMNIST_PHOTOS is not set")
    folder = tmp_path_factory.mktemp("photos")
    for name in ACCEPTED:
        (folder / "train" / name).mkdir(parents=True)
        for path in sorted((found / "train" / name).glob("*.jpg"))[:PHOTOS_OF_EACH]:
            (folder / "train" / name / path.name).symlink_to(path)
    return folder
