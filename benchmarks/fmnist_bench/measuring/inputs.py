"""The test images as every process of a run reads them: pixels, labels, and PNG files."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.dataset import load_split

FILES: Final = 1000  # kept as PNG bytes; enough that no run meets the same file soon again


@dataclass(frozen=True, eq=False)
class TestImages:
    """The 10,000 test images of Fashion-MNIST."""

    __test__ = False  # for pytest, which would collect a class of this name

    pixels: NDArray[np.uint8]
    """uint8 [10000, 28, 28]."""
    labels: NDArray[np.uint8]
    """uint8 [10000]."""
    files: list[bytes]
    """The first images as PNG files, as Pillow writes them."""


def write_test_images(path: Path, data: Path | None = None) -> TestImages:
    """Read the dataset and keep its test images in one .npz file. Raises DataError."""
    split = load_split("test", data)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, pixels=split.images, labels=split.labels)
    return load_test_images(path)


def load_test_images(path: Path) -> TestImages:
    """Return what `write_test_images` kept."""
    with np.load(path) as arrays:
        pixels, labels = arrays["pixels"], arrays["labels"]
    return TestImages(pixels, labels, [png_of(image) for image in pixels[:FILES]])


def png_of(image: NDArray[np.uint8]) -> bytes:
    """Return a grey image as a PNG file."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_folder(pixels: NDArray[np.uint8], folder: Path, count: int) -> Path:
    """Return a folder of `count` PNG files of the test images, in turn; made unless it is there."""
    target = folder / str(count)
    done = folder / f"{count}.done"
    if done.is_file():
        return target
    target.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (target / f"{number:05}.png").write_bytes(png_of(pixels[number % len(pixels)]))
    done.touch()
    return target
