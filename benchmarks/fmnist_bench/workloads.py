"""What is measured: the pictures, and for each group a function of no arguments that does its work once."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_bench.backends import OURS, Images, Network, environment
from fmnist_bench.timing import Run, start
from fmnist_edge.dataset import load_split
from fmnist_edge.errors import DataError, GateError

PROGRAMS: Final = Path(__file__).with_name("programs")
FOLDER_FILES: Final = 2000
PHOTOS: Final = {
    "28x28 PNG": (28, 28, "PNG"),
    "640x480 JPEG": (640, 480, "JPEG"),
    "640x480 PNG": (640, 480, "PNG"),
    "4000x3000 JPEG": (4000, 3000, "JPEG"),
}
"""Name to width, height and format of the photos that are classified."""
_DIFFERENT: Final = 500  # images that take turns, so that no run meets the same one soon again


def test_images(*, draw: bool = False) -> Images:
    """Return the dataset's test images, uint8 [10000, 28, 28]; with `draw`, blocks of noise where it is not at hand.

    Raises DataError.
    """
    try:
        return load_split("test").images
    except DataError:
        if not draw:
            raise
    noise = np.random.default_rng(0).integers(0, 256, (10_000, 7, 7), np.uint8)
    return noise.repeat(4, axis=1).repeat(4, axis=2)


def picture_file(pixels: NDArray[np.uint8], form: str = "PNG") -> bytes:
    """Return an array as an image file, as Pillow writes it."""
    content = io.BytesIO()
    PIL.Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def photo(image: NDArray[np.uint8], form: str) -> bytes:
    """Return a file that decodes as a photo would: a garment on a light background in colour, with noise."""
    width, height, kind = PHOTOS[form]
    garment = PIL.Image.fromarray(255 - image).resize((width, height), PIL.Image.Resampling.BICUBIC)
    tile = np.random.default_rng(0).normal(0, 4, (min(height, 500), min(width, 500), 3))
    noise = np.tile(tile, (-(-height // len(tile)), -(-width // tile.shape[1]), 1))[:height, :width]
    colours = np.asarray(garment)[..., None] * np.array([1.0, 0.95, 0.9]) + noise
    return picture_file(colours.clip(0, 255).astype(np.uint8), kind)


def one_image(network: Network, images: Images) -> Run:
    """The model alone, for one image after the other; not the scaling to its input."""
    following = itertools.cycle([network.prepare(image[None]) for image in images[:_DIFFERENT]]).__next__
    return lambda: network.run(following())


def png_to_label(network: Network, images: Images) -> Run:
    """From the bytes of a PNG file of 28x28 pixels to the label."""
    following = itertools.cycle([picture_file(image) for image in images[:_DIFFERENT]]).__next__
    return lambda: network.label(following())


def photo_to_label(network: Network, images: Images, form: str) -> Run:
    """From the bytes of a photo to the label."""
    return partial(network.label, photo(images[0], form))


def ten_thousand(network: Network, images: Images) -> Run:
    """All test images at once, the model alone; not the scaling."""
    return partial(network.run_many, network.prepare(images))


def process(command: Sequence[str], expected: str = "") -> Run:
    """A whole process from its start to its end. Raises GateError if it does not print what is expected."""
    variables = environment()

    def run() -> None:
        printed = start(command, variables)
        if expected not in printed:
            raise GateError(f"{' '.join(command[:3])} printed {printed.strip()[:80]!r}, not {expected!r}")

    return run


def fmnist_edge(*arguments: object) -> list[str]:
    """Return how `fmnist-edge` is started: the installed script, or the module behind it."""
    script = Path(sys.executable).with_name("fmnist-edge.exe" if sys.platform == "win32" else "fmnist-edge")
    way = [str(script)] if script.is_file() else [sys.executable, "-m", "fmnist_edge"]
    return [*way, *map(str, arguments)]


def label_once(backend: str, *paths: Path) -> list[str]:
    """Return the command that prints the class of MODEL, PNG: for ours the command line, else the shortest program.

    Of "pillow-folder", FOLDER: the command that only decodes every file.
    """
    if backend == OURS:
        return fmnist_edge("classify", "--model", *paths)
    return [sys.executable, str(PROGRAMS / "label.py"), backend, *map(str, paths)]


def write_folder(images: Images, target: Path) -> Path:
    """Write FOLDER_FILES test images as PNG files."""
    target.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images[:FOLDER_FILES]):
        (target / f"{number:05}.png").write_bytes(picture_file(image))
    return target
