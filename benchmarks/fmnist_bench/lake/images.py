"""Lakes to measure and to test with: folders of as many images as wanted, drawn from the dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_convert.photo.scenes import draw_scene
from fmnist_edge.dataset import load_split

IN_A_FOLDER: Final = 1000
SEED: Final = 9
JPEG_QUALITY: Final = 85


def draw_lake(folder: Path, count: int, *, photos: float) -> None:
    """Write `count` images below a folder, a share `photos` of them as JPEG scenes, the others as 28x28 grey PNG.

    All are of different images of the dataset, the test images first; scenes measure 260 to 419 pixels a side. Files
    that are there already stay, so that a lake that was begun is finished.
    """
    for number, image in enumerate(_images(count)):
        is_photo = int((number + 1) * photos) > int(number * photos)
        path = folder / f"{number // IN_A_FOLDER:03d}" / f"{number:06d}.{'jpg' if is_photo else 'png'}"
        if not path.exists():
            _write(path, image, np.random.default_rng((SEED, number)) if is_photo else None)


def _images(count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield images of the dataset, those of the test split first."""
    test, train = load_split("test").images, load_split("train").images
    for number in range(count):
        yield test[number] if number < len(test) else train[number - len(test)]


def _write(path: Path, image: NDArray[np.uint8], random: np.random.Generator | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    if random is None:
        PIL.Image.fromarray(image).save(partial, "PNG")
    else:
        PIL.Image.fromarray(draw_scene(image, random)).save(partial, "JPEG", quality=JPEG_QUALITY)
    partial.rename(path)
