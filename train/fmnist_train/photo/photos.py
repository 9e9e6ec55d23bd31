"""The photos as training sees them: their labels, and the fold of the train photos that choices are made on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import LABELS
from fmnist_edge.decoding import decode
from fmnist_edge.download import ACCEPTED, list_photos

HELD_OUT: Final = 400  # train photos that no choice-making head is fitted on
FOLD_SEED: Final = 0


@dataclass(frozen=True, eq=False)
class TrainPhotos:
    """Where the photos lie and what each may be called."""

    paths: tuple[Path, ...]
    classes: NDArray[np.str_]
    """[n]: the names of their folders."""
    allowed: NDArray[np.bool_]
    """[n, 10]: the labels that count as right."""


def train_photos(folder: Path) -> TrainPhotos:
    """Return the train photos below a folder, sorted by class and name. No photo of another split is touched."""
    listed = list(list_photos(folder, "train"))
    allowed = np.zeros((len(listed), len(LABELS)), bool)
    for row, (_, name) in enumerate(listed):
        allowed[row, list(ACCEPTED[name])] = True
    return TrainPhotos(tuple(path for path, _ in listed), np.array([name for _, name in listed]), allowed)


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Return a photo as devices read it: uint8 [height, width, 3], upright, at most 1,024 pixels on the long side."""
    return np.asarray(decode(path).convert("RGB"))


def fold(
    classes: NDArray[np.str_], held_out: int = HELD_OUT, seed: int = FOLD_SEED
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sorted indices to fit on and to choose on, the classes in the same shares (stratified)."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    chosen = order[((np.arange(held_out) + 0.5) * len(classes) / held_out).astype(np.int64)]
    return np.setdiff1d(np.arange(len(classes)), chosen), np.sort(chosen)
