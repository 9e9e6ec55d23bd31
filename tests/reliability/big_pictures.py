"""Pictures as large as is allowed, in every form: what takes most memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL.Image
import PIL.ImageFile

from tests.runtime.jpeg_bombs import flat_jpeg

SIDE: Final = 5000  # 25 million pixels
PHONE: Final = (4032, 3024)  # 12.2 million, the commonest photo

Form = Callable[[], PIL.Image.Image]


@functools.cache
def texture(size: tuple[int, int] = (SIDE, SIDE)) -> PIL.Image.Image:
    """Return an RGB picture that compresses as photos do."""
    coarse = np.random.default_rng(0).integers(0, 256, (size[1] // 10, size[0] // 10, 3), np.uint8)
    return PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)


def _noise() -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8))


def _deep(dtype: Any) -> Form:
    return lambda: PIL.Image.fromarray(np.asarray(texture().convert("L")).astype(dtype) * 200)


def _transparent(size: tuple[int, int] = (SIDE, SIDE)) -> PIL.Image.Image:
    picture = texture(size).convert("RGBA")
    picture.putalpha(texture(size).getchannel("R"))
    return picture


def _as(mode: str) -> Form:
    return lambda: texture().convert(mode)


# By file name: the picture, and how it is stored.
FORMS: Final[dict[str, tuple[Form, dict[str, Any]]]] = {
    "colour.png": (texture, {"compress_level": 1}),
    "noise.png": (_noise, {"compress_level": 1}),
    "transparent.png": (_transparent, {"compress_level": 1}),
    "grey-transparent.png": (lambda: _transparent().convert("LA"), {"compress_level": 1}),
    "palette.png": (lambda: texture().quantize(64), {"compress_level": 1}),
    "palette-transparent.png": (lambda: texture().quantize(64), {"compress_level": 1, "transparency": 3}),
    "black-and-white.png": (_as("1"), {}),
    "deep-grey.png": (_deep(np.uint16), {"compress_level": 1}),
    "deep-grey.tiff": (_deep(np.uint16), {}),
    "deeper-grey.tiff": (_deep(np.int32), {}),
    "float.tiff": (_deep(np.float32), {}),
    "colour.tiff": (texture, {}),
    "deflated.tiff": (texture, {"compression": "tiff_adobe_deflate"}),
    "jpeg.tiff": (texture, {"compression": "jpeg"}),
    "transparent.tiff": (_transparent, {}),
    "cmyk.tiff": (_as("CMYK"), {}),
    "colour.bmp": (texture, {}),
    "transparent.bmp": (_transparent, {}),
    "colour.ppm": (texture, {}),
    "palette.gif": (lambda: texture().quantize(64), {}),
    "baseline.jpg": (texture, {"quality": 95, "subsampling": 0}),
    "progressive.jpg": (texture, {"quality": 95, "subsampling": 0, "progressive": True}),
    "progressive-cmyk.jpg": (_as("CMYK"), {"progressive": True}),
    "lossy.webp": (texture, {"method": 0}),
    "phone-lossy.webp": (lambda: texture(PHONE), {"method": 0}),
    "phone-lossless.webp": (lambda: texture(PHONE), {"method": 0, "lossless": True, "quality": 0}),
    "phone-transparent.webp": (lambda: _transparent(PHONE), {"method": 0}),
    "colour.avif": (texture, {"speed": 10}),
    "phone.avif": (lambda: texture(PHONE), {"speed": 10}),
    "phone-transparent.avif": (lambda: _transparent(PHONE), {"speed": 10}),
}
BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "hundred-megapixels.jpg": lambda: flat_jpeg(12_000, 9_000),
    "sixteen-hundred-megapixels.jpg": lambda: flat_jpeg(40_000, 40_000),
    "three-scans.jpg": lambda: flat_jpeg(12_000, 9_000, interleaved=False),
    "thousand-scans.jpg": lambda: flat_jpeg(5_000, 5_000, scans=1_000),
}


def write(name: str, folder: Path) -> Path:
    """Write one of FORMS or BOMBS into a folder, and return its path."""
    path = folder / name
    if name in BOMBS:
        path.write_bytes(BOMBS[name]())
        return path
    picture, options = FORMS[name]
    largest, PIL.ImageFile.MAXBLOCK = PIL.ImageFile.MAXBLOCK, 1 << 28  # a progressive JPEG is written in one piece
    try:
        picture().save(path, **options)
    finally:
        PIL.ImageFile.MAXBLOCK = largest
    return path
