"""From any source to an upright picture: formats, modes, transparency, orientation. Knows nothing of clothes."""

from __future__ import annotations

import os
from importlib import import_module
from io import BytesIO
from typing import Any, Final, TypeAlias

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.errors import ImageError
from fmnist_edge.intake.colour_profiles import in_srgb
from fmnist_edge.intake.image_files import read_file, recognise
from fmnist_edge.intake.quiet_pillow import quiet_libtiff, quiet_pillow

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[Any]

# More pixels than this are refused before they are decoded (of a JPEG, those of its reduced decoding).
# A decoded pixel takes up to 4 bytes and a conversion as much again: 200 MB.
MAX_PIXELS: Final = 25_000_000
# The long side of a decoded picture; larger ones are averaged down. More detail changes no answer at 28x28.
MAX_SIDE: Final = 1024

# What brings a picture upright, by its EXIF orientation (Exif 2.32, tag 0x0112).
_ORIENTATION_TAG: Final = 0x0112
_UPRIGHT: Final = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_WHITE: Final = (255, 255, 255)
_BLACK: Final = (0, 0, 0)


def decode(source: ImageSource) -> PIL.Image.Image:
    """Return the picture upright and opaque, as a PIL image of mode L or RGB, its long side at most MAX_SIDE.

    `source` is a path, the bytes of an image file, a PIL image, or an array: uint8 [height, width] grey or
    [height, width, 3] RGB. Of several frames the first is taken. An embedded colour profile is applied.
    Raises ImageError: missing-file, unreadable-file, empty-file, not-an-image, unreadable-image, too-large,
    wrong-type or wrong-array.
    """
    try:
        with quiet_pillow():
            return _upright(_opaque(in_srgb(_reduced(_plain(_opened(source))))))
    except ImageError:
        raise
    except (MemoryError, PIL.Image.DecompressionBombError) as error:
        raise ImageError("too-large", f"too large to decode ({_cause(error)}); reduce the picture first") from error
    except Exception as error:  # Pillow raises nearly any type on damaged bytes
        raise ImageError("unreadable-image", f"damaged or truncated picture ({_cause(error)})") from error


def _opened(source: object) -> PIL.Image.Image:
    if isinstance(source, (str, os.PathLike)):
        source = read_file(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _opened_bytes(bytes(source))
    if isinstance(source, np.ndarray):
        return _opened_array(source)
    if isinstance(source, PIL.Image.Image):
        _check_size(source.size)
        return source
    raise ImageError("wrong-type", f"expected a path, bytes, a PIL image or a numpy array, got {type(source).__name__}")


def _opened_bytes(data: bytes) -> PIL.Image.Image:
    """Open an image file by the one plugin for its format; Image.open would import five and warn of sizes."""
    name = recognise(data)
    try:
        plugin = import_module(f"PIL.{name}ImagePlugin")
    except ImportError as error:
        raise ImageError("not-an-image", f"not supported here: {name}; convert it to PNG or JPEG") from error
    image: PIL.Image.Image = getattr(plugin, f"{name}ImageFile")(BytesIO(data))
    if name == "Jpeg" and not image.info.get("progressive"):  # a progressive one is held whole in any case
        image.draft(image.mode, _draft_size(image.size))
    _check_size(image.size)
    return image


def _draft_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size to ask a JPEG's decoder for: a half, quarter or eighth that needs no averaging down after."""
    factor = next((factor for factor in (1, 2, 4) if max(size) <= MAX_SIDE * factor), 8)
    return max(1, size[0] // factor), max(1, size[1] // factor)


def _opened_array(array: NDArray[Any]) -> PIL.Image.Image:
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        raise ImageError("wrong-array", f"{_EXPECTED}, got {array.dtype} {list(array.shape)}; {_hint(array)}")
    _check_size((array.shape[1], array.shape[0]))
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


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError("unreadable-image", f"a picture of {width}x{height} holds no pixel")
    if width * height > MAX_PIXELS:
        raise ImageError("too-large", f"{width}x{height} is more than {MAX_PIXELS:,} pixels; reduce the picture first")


def _plain(image: PIL.Image.Image) -> PIL.Image.Image:
    """Decode the pixels and return them in mode L, RGB or RGBA, 8 bits a channel."""
    _load(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _eight_bit(image)
    if image.mode == "F":
        raise ImageError("unreadable-image", "floating-point pixels have no agreed range; save with 8 bits")
    if image.mode == "LAB":
        return image.getchannel("L")
    if image.mode == "La":  # the one mode that Pillow cannot turn to RGBA in one step
        image = image.convert("LA")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "CMYK":
        image = in_srgb(
            image
        )  # here, since its profile speaks of inks; that of RGB can wait until there are fewer pixels
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _load(image: PIL.Image.Image) -> None:
    if image.format == "TIFF" and any("libtiff" in tile for tile in getattr(image, "tile", ())):
        with quiet_libtiff():
            image.load()
    image.load()


def _eight_bit(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return a grey image of more than 8 bits in mode L; levels that are all below 256 are 8-bit already."""
    levels = np.asarray(image)
    low, high = int(levels.min()), int(levels.max())
    if low < 0 or high > 65535:
        raise ImageError("unreadable-image", f"grey levels {low}..{high} are not 16-bit; save it with 8 bits")
    result = PIL.Image.fromarray((levels >> 8 if high > 255 else levels).astype(np.uint8))
    result.info.update(image.info)
    return result


def _reduced(image: PIL.Image.Image) -> PIL.Image.Image:
    """Average a large picture down, by a whole factor, until its long side is at most MAX_SIDE."""
    factor = -(-max(image.size) // MAX_SIDE)
    if factor == 1:
        return image
    reduced = image.reduce(factor)
    reduced.info.update(image.info)
    return reduced


def _opaque(image: PIL.Image.Image) -> PIL.Image.Image:
    """Lay what is transparent on white, as shops do; but a bright grey drawing on black, as in the dataset.

    On white, a bright grey garment cut out of its black ground would vanish.
    """
    if image.mode != "RGBA":
        return image
    pixels = np.asarray(image)
    colour, alpha = pixels[..., :3], pixels[..., 3]
    seen = colour[alpha > 0]
    is_grey = bool((seen == seen[:, :1]).all())
    is_bright = seen.size > 0 and np.average(colour[..., 0], weights=alpha) > 127
    ground = PIL.Image.new("RGB", image.size, _BLACK if is_grey and is_bright else _WHITE)
    ground.paste(image.convert("RGB"), mask=image.getchannel("A"))
    ground.info.update(image.info)
    return ground


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    turn = _UPRIGHT.get(_orientation(image))
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = {}  # else the picture, decoded again as callers with many images do, would be turned again
    return turned


def _orientation(image: PIL.Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block says nothing, and spoils no picture
        return 1


def _cause(error: Exception) -> str:
    """Return the first line of an exception, printable and short: its text may quote the file's bytes."""
    text = str(error).strip() or type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text.split("\n")[0])[:120]
