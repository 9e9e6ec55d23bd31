"""From any source to an upright, opaque picture: formats, modes, colour profiles, orientation, reducing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.errors import ImageError
from fmnist_edge.image_files import MAX_PIXELS, check_file, check_size, read_file, recognise
from fmnist_edge.images import ImageSource
from fmnist_edge.quiet import quiet_libtiff, quiet_pillow

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


def decode(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> PIL.Image.Image:
    """Return the picture upright and opaque, as a PIL image of mode L or RGB, its long side at most MAX_SIDE.

    `source` is a path, the bytes of an image file, a PIL image, or an array: uint8 [height, width] grey or
    [height, width, 3] RGB. Of several frames the first is taken, and
    `info[SEVERAL_FRAMES]` of the picture is true. An embedded colour profile is applied.
    More than `max_pixels` pixels are refused before they are decoded (of a JPEG, those of its reduced decoding), and
    so is what would take more than `limits.BYTES_A_PIXEL` bytes for each of them.
    Raises ImageError: missing-file, unreadable-file, empty-file, not-an-image, unreadable-image, too-large,
    wrong-type or wrong-array.
    """
    try:
        with quiet_pillow():
            return _upright(_opaque(in_srgb(shrink(_loaded(open_source(source, max_pixels))))))
    except ImageError:
        raise
    except (MemoryError, PIL.Image.DecompressionBombError) as error:
        raise ImageError("too-large", f"too large to decode ({_cause(error)}); reduce the picture first") from error
    except Exception as error:  # Pillow raises nearly any type on damaged bytes
        raise ImageError("unreadable-image", f"damaged or truncated picture ({_cause(error)})") from error


def _loaded(image: PIL.Image.Image) -> PIL.Image.Image:
    """Decode the pixels."""
    if image.format == "WEBP":
        return take_pixels(image)
    if image.format == "TIFF" and any("libtiff" in tile for tile in getattr(image, "tile", ())):
        with quiet_libtiff():
            image.load()
    image.load()
    return image


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
    image.info[SEVERAL_FRAMES] = _has_several_frames(image)
    return image


def is_first_of_several(picture: PIL.Image.Image) -> bool:
    """Tell whether a decoded picture is the first of several frames: of an animation, or of pages that were scanned."""
    return bool(picture.info.get(SEVERAL_FRAMES))


def _has_several_frames(image: Any) -> bool:
    """Tell whether there are more frames than the one that is taken. Damage behind the first spoils nothing."""
    try:
        return bool(getattr(image, "is_animated", False))
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


def take_pixels(image: Any) -> PIL.Image.Image:
    """Return the first frame of an opened WebP, which cannot be used after this, with what the file says of it.

    Raises what Pillow raises on damaged bytes. The decoder is no public part of Pillow (the same from 10.1 to 13):
    should it change, Pillow's own way is taken, and the test of the memory says so.
    """
    decoder, rawmode = getattr(image, "_decoder", None), getattr(image, "rawmode", None)
    if decoder is None or rawmode is None:
        image.load()
        return image  # type: ignore[no-any-return]
    frame = decoder.get_next()
    if frame is None:
        raise OSError("cannot decode the frame")
    del decoder
    image._decoder = None
    picture = PIL.Image.frombytes(image.mode, image.size, frame[0], "raw", rawmode)
    picture.info.update(image.info)
    return picture


Box = tuple[int, int, int, int]

# Modes whose levels are the picture's own, so that they may be averaged before anything else is done to them.
_PLAIN: Final = ("L", "RGB", "CMYK")
_TILE: Final = 1024  # pixels of a tile's side: four megabytes


def shrink(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return a loaded picture in mode L, RGB or RGBA, 8 bits a channel, its long side at most MAX_SIDE.

    Larger ones are averaged down by a whole factor. Raises ImageError for pixels without an agreed range.
    """
    factor = -(-max(image.size) // MAX_SIDE)
    shift = _shift(image)
    if factor == 1:
        return _plain(image, shift)
    if image.mode in _PLAIN and not image.has_transparency_data:
        return _plain(_with_info(image.reduce(factor), image), shift)
    result: PIL.Image.Image | None = None
    for left, top, right, bottom in _tiles(image.size, factor):
        tile = _plain(image.crop((left, top, right, bottom)), shift).reduce(factor)
        if result is None:
            result = PIL.Image.new(tile.mode, tuple(-(-side // factor) for side in image.size))  # type: ignore[arg-type]
        result.paste(tile, (left // factor, top // factor))
    assert result is not None
    return _with_info(result, image)


def _tiles(size: tuple[int, int], factor: int) -> Iterator[Box]:
    """Yield boxes that cover a picture, their corners multiples of `factor` so that averages do not cross them."""
    step = factor * max(1, _TILE // factor)
    for top in range(0, size[1], step):
        for left in range(0, size[0], step):
            yield left, top, min(left + step, size[0]), min(top + step, size[1])


def _plain(image: PIL.Image.Image, shift: int) -> PIL.Image.Image:
    """Return a picture, or a tile of one, in mode L, RGB or RGBA."""
    if _is_deep(image):
        return _eight_bit(image, shift)
    if image.mode == "F":
        raise ImageError("unreadable-image", "floating-point pixels have no agreed range; save with 8 bits")
    if image.mode == "LAB":
        return image.getchannel("L")
    if image.mode == "La":  # the one mode that Pillow cannot turn to RGBA in one step
        image = image.convert("LA")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "CMYK":
        image = in_srgb(image)  # here, since its profile speaks of inks
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _is_deep(image: PIL.Image.Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _shift(image: PIL.Image.Image) -> int:
    """Return by how many bits a grey image of more than 8 is to be shifted; levels below 256 are 8-bit already."""
    if not _is_deep(image):
        return 0
    ranges = [(levels.min(), levels.max()) for levels in map(_levels, _crops(image))]
    low, high = int(min(low for low, _ in ranges)), int(max(high for _, high in ranges))
    if low < 0 or high > 65535:
        raise ImageError("unreadable-image", f"grey levels {low}..{high} are not 16-bit; save it with 8 bits")
    return 8 if high > 255 else 0


def _crops(image: PIL.Image.Image) -> Iterator[PIL.Image.Image]:
    return (image.crop(box) for box in _tiles(image.size, 1))


def _levels(image: PIL.Image.Image) -> NDArray[Any]:
    return np.asarray(image)


def _eight_bit(image: PIL.Image.Image, shift: int) -> PIL.Image.Image:
    return _with_info(PIL.Image.fromarray((_levels(image) >> shift).astype(np.uint8)), image)


def _with_info(image: PIL.Image.Image, source: PIL.Image.Image) -> PIL.Image.Image:
    """Hand on what the file says of its picture: orientation, profile. Not its transparency, which is in the pixels."""
    image.info.update({key: value for key, value in source.info.items() if key != "transparency"})
    return image


PROFILE: Final = "icc_profile"  # Pillow's key for the embedded ICC profile
_RESULT_MODES: Final = {"RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB"}


def in_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an RGB, RGBA or CMYK image with its profile applied, as sRGB; any other, or one without, as it is.

    A damaged profile, or one for another kind of pixels, says nothing and is left out.
    """
    profile = image.info.get(PROFILE)
    if not profile or image.mode not in _RESULT_MODES:
        return image
    from PIL import ImageCms  # not above: most pictures need none of it, and every start would pay for it

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode=_RESULT_MODES[image.mode])
    except (ImageCms.PyCMSError, OSError):
        return image
    if converted is None:
        return image
    converted.info = {key: value for key, value in image.info.items() if key != PROFILE}
    return converted
