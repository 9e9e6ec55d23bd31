"""Opening a source of any kind as a Pillow image whose pixels are not decoded yet."""

from __future__ import annotations

import os
from importlib import import_module
from io import BytesIO
from typing import Any, Final, TypeAlias

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.errors import ImageError
from fmnist_edge.intake.image_files import read_file, recognise
from fmnist_edge.intake.limits import check_file, check_size

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[Any]

# The long side of a decoded picture; larger ones are averaged down. More detail changes no answer at 28x28.
MAX_SIDE: Final = 1024
SEVERAL_FRAMES: Final = "fmnist_edge.several_frames"  # key in a decoded picture's info: it is the first of several


def open_source(source: object, max_pixels: int) -> PIL.Image.Image:
    """Open a path, the bytes of an image file, a PIL image or an array of pixels.

    Raises ImageError, and whatever Pillow raises on damaged bytes.
    """
    if isinstance(source, (str, os.PathLike)):
        source = read_file(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _opened_bytes(bytes(source), max_pixels)
    if isinstance(source, np.ndarray):
        return _opened_array(source, max_pixels)
    if isinstance(source, PIL.Image.Image):
        check_size(source.size, max_pixels)
        return source
    raise ImageError("wrong-type", f"expected a path, bytes, a PIL image or a numpy array, got {type(source).__name__}")


def _opened_bytes(data: bytes, max_pixels: int) -> PIL.Image.Image:
    """Open an image file by the one plugin for its format; Image.open would import five and warn of sizes."""
    name = recognise(data)
    try:
        plugin = import_module(f"PIL.{name}ImagePlugin")
    except ImportError as error:
        raise _missing_decoder(name) from error
    if not getattr(plugin, "SUPPORTED", True):  # a Pillow that was built without the library for it
        raise _missing_decoder(name)
    image: PIL.Image.Image = getattr(plugin, f"{name}ImageFile")(BytesIO(data))
    full_size = image.size
    if name == "Jpeg":
        image.draft(image.mode, _draft_size(full_size))
    check_file(image, data, full_size, max_pixels)
    image.info[SEVERAL_FRAMES] = _has_several_frames(image, data)
    return image


def _has_several_frames(image: Any, data: bytes) -> bool:
    """Tell whether there are more frames than the one that is taken. Damage behind the first spoils nothing."""
    try:
        # A GIF or TIFF looks for its second frame, and could not go back where that is damaged: so another looks.
        looking = type(image)(BytesIO(data)) if image.format in ("GIF", "TIFF") else image
        return bool(getattr(looking, "is_animated", False))
    except Exception:  # as broad as Pillow's own on damaged bytes
        return False


def _missing_decoder(name: str) -> ImageError:
    return ImageError("not-an-image", f"not supported here: {name}; convert it to PNG or JPEG")


def _draft_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size to ask a JPEG's decoder for: a half, quarter or eighth that needs no averaging down after."""
    factor = next((factor for factor in (1, 2, 4) if max(size) <= MAX_SIDE * factor), 8)
    return max(1, size[0] // factor), max(1, size[1] // factor)


def _opened_array(array: NDArray[Any], max_pixels: int) -> PIL.Image.Image:
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        raise ImageError("wrong-array", f"{_EXPECTED}, got {array.dtype} {list(array.shape)}; {_hint(array)}")
    check_size((array.shape[1], array.shape[0]), max_pixels)
    return PIL.Image.fromarray(array)


_EXPECTED: Final = "expected uint8 [height, width] or [height, width, 3], 0..255"


def _hint(array: NDArray[Any]) -> str:
    """Say how to mend an array that is no picture."""
    if array.size == 0:
        return "it holds no pixel"
    if array.dtype == np.bool_ or np.issubdtype(array.dtype, np.floating):
        return "(array * 255).astype(numpy.uint8) if its values lie in 0..1"
    if array.dtype != np.uint8:
        return "array.astype(numpy.uint8) if its values lie in 0..255"
    if array.ndim == 3 and array.shape[2] == 1:
        return "drop the channel dimension: array[..., 0]"
    if array.ndim == 3 and array.shape[2] in (2, 4):
        return "for transparency, pass PIL.Image.fromarray(array)"
    return "classify takes one picture; predict takes uint8 [n, 28, 28]"
