"""Decoding with Pillow: from any source to an upright, opaque picture in sRGB, reduced to what the models need."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from io import BytesIO
from typing import IO, Any, Final, cast

import numpy as np
import PIL.Image

from fmnist_edge.errors import ImageError, install_hint
from fmnist_edge.image_files import (
    MAX_PIXELS,
    ImageSource,
    check_file,
    check_size,
    picture_array,
    read_file,
    read_stream,
    recognise,
)
from fmnist_edge.model_info import IMAGE_SIDE, LEAST_SIDE

# Where nobody has set up logging, Python prints errors that Pillow logs; a handler that does nothing stops that.
logging.getLogger("PIL").addHandler(logging.NullHandler())

SEVERAL_FRAMES: Final = "fmnist_edge.several_frames"  # key in a decoded picture's info: it is the first of several


def decode(source: ImageSource, *, max_pixels: int = MAX_PIXELS, least_side: int = LEAST_SIDE) -> PIL.Image.Image:
    """Return a picture upright and opaque, as a PIL image of mode L or RGB, its colours in sRGB.

    `source` is a path, the bytes of an image file, a file opened in binary mode, a PIL image or an array (see
    `image_files.picture_array`). Of several frames the first is taken, and `is_first_of_several` tells.
    A picture with a long side of at least twice `least_side` is averaged down by the largest whole factor that leaves
    `least_side` pixels or more. Transparency is laid on white; on black if the picture is 28x28, or bright and grey.
    Pictures with more than `max_pixels` pixels are refused before they are decoded (of a JPEG, those of its reduced
    decoding), and so are those that take more than `image_files.BYTES_A_PIXEL` bytes for each of them.
    Raises ImageError: missing-file, unreadable-file, empty-file, not-an-image, unreadable-image, too-large,
    wrong-type or wrong-array.
    """
    try:
        with _quiet_warnings():
            picture = _reduced(_loaded(_opened(source, max_pixels, least_side)), least_side)
            return _upright(_opaque(_in_srgb(picture)))
    except ImageError:
        raise
    except (MemoryError, PIL.Image.DecompressionBombError) as error:
        raise ImageError("too-large", f"too large to decode ({_cause(error)}); reduce the picture first") from error
    except Exception as error:  # Pillow raises nearly any type on damaged bytes
        raise ImageError("unreadable-image", f"damaged or truncated picture ({_cause(error)})") from error


def is_first_of_several(picture: PIL.Image.Image) -> bool:
    """Tell whether a decoded picture is the first of several frames: of an animation, or of pages that were scanned."""
    return bool(picture.info.get(SEVERAL_FRAMES))


# Opening: nothing is decoded yet


def _opened(source: object, max_pixels: int, least_side: int) -> PIL.Image.Image:
    if isinstance(source, (str, os.PathLike)):
        source = read_file(source)
    elif hasattr(source, "read"):
        source = read_stream(cast(IO[bytes], source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _opened_bytes(bytes(source), max_pixels, least_side)
    if isinstance(source, np.ndarray):
        array = picture_array(source)
        check_size((array.shape[1], array.shape[0]), max_pixels)
        return PIL.Image.fromarray(array)
    if isinstance(source, PIL.Image.Image):
        check_size(source.size, max_pixels)
        return source
    found = type(source).__name__
    raise ImageError("wrong-type", f"expected a path, bytes, a binary file, a PIL image or a numpy array, got {found}")


def _opened_bytes(data: bytes, max_pixels: int, least_side: int) -> PIL.Image.Image:
    """Open an image file by the one plugin for its format; Image.open would import five and warn of sizes."""
    name = recognise(data)
    image: PIL.Image.Image = _image_file(name)(BytesIO(data))
    full_size = image.size
    if name == "Jpeg":
        # Decoded at the smallest of 1/8, 1/4, 1/2 and all of its size that is large enough.
        factor = next((factor for factor in (8, 4, 2) if max(full_size) >= least_side * factor), 1)
        image.draft(image.mode, (max(1, full_size[0] // factor), max(1, full_size[1] // factor)))
    check_file(image, data, full_size, max_pixels)
    image.info[SEVERAL_FRAMES] = _has_several_frames(image)
    return image


def _image_file(name: str) -> Any:
    """Return the class that opens files of a format. Raises ImageError where its library is not installed."""
    module = "pillow_heif" if name == "Heif" else f"PIL.{name}ImagePlugin"
    try:
        plugin = import_module(module)
    except ImportError as error:
        raise _missing_decoder(name) from error
    if not getattr(plugin, "SUPPORTED", True):  # a Pillow that was built without the library for it
        raise _missing_decoder(name)
    return getattr(plugin, f"{name}ImageFile")


def _missing_decoder(name: str) -> ImageError:
    if name == "Heif":
        return ImageError("not-an-image", f"HEIC needs the extra [heic]: {install_hint('heic')}")
    return ImageError("not-an-image", f"this Pillow cannot decode {name}; convert it to PNG or JPEG")


def _has_several_frames(image: Any) -> bool:
    """Tell whether there are more frames than the one that is taken. Damage behind the first does no harm."""
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # as broad as Pillow's own on damaged bytes
        return False


# Pixels


def _loaded(image: PIL.Image.Image) -> PIL.Image.Image:
    """Decode the pixels."""
    if image.format == "WEBP":
        return _webp_frame(image)
    if image.format == "TIFF" and any("libtiff" in tile for tile in getattr(image, "tile", ())):
        with quiet_standard_error():  # libtiff prints there what is wrong with a file, and nothing else stops it
            image.load()
    image.load()
    return image


def _webp_frame(image: Any) -> PIL.Image.Image:
    """Return the first frame of an opened WebP in three quarters of the memory that Pillow takes for it.

    libwebp's decoder for animations, which Pillow uses for every file, holds two canvases of four bytes a pixel; Pillow
    keeps it while it copies the pixels twice. Here it goes before the second copy. Pillow does not document the decoder
    (the same from 10.1 to 13): should it change, Pillow's own way is taken, and the test of the memory says so.
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


# Modes whose levels are the picture's own, so that they may be averaged before anything else is done to them.
_PLAIN: Final = ("L", "RGB", "CMYK")
_TILE_PIXELS: Final = 1_000_000  # converted at once: four megabytes


def _reduced(image: PIL.Image.Image, least_side: int) -> PIL.Image.Image:
    """Return a loaded picture in mode L, RGB or RGBA, 8 bits a channel, averaged down by a whole factor.

    A large one is converted part by part, so that its own pixels are all that is ever held of it.
    Raises ImageError for pixels without an agreed range.
    """
    factor, shift = max(1, max(image.size) // least_side), _shift(image)
    if factor == 1:
        return _converted(image, shift)
    if image.mode in _PLAIN and not image.has_transparency_data:
        return _converted(_with_info(image.reduce(factor), image), shift)
    parts = [(box, _converted(image.crop(box), shift).reduce(factor)) for box in _parts(image.size, factor)]
    result = PIL.Image.new(parts[0][1].mode, (-(-image.width // factor), -(-image.height // factor)))
    for box, part in parts:
        result.paste(part, (box[0] // factor, box[1] // factor))
    return _with_info(result, image)


def _parts(size: tuple[int, int], factor: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes that cover a picture, their corners multiples of `factor` so that averages do not cross them."""
    across = factor * max(1, _TILE_PIXELS // factor**2)
    down = factor * max(1, _TILE_PIXELS // (factor * min(across, size[0])))
    for top in range(0, size[1], down):
        for left in range(0, size[0], across):
            yield left, top, min(left + across, size[0]), min(top + down, size[1])


def _converted(image: PIL.Image.Image, shift: int) -> PIL.Image.Image:
    """Return a picture, or a part of one, in mode L, RGB or RGBA."""
    if _is_deep(image):
        return _with_info(PIL.Image.fromarray((np.asarray(image) >> shift).astype(np.uint8)), image)
    if image.mode == "F":
        raise ImageError("unreadable-image", "floating-point pixels have no agreed range; save with 8 bits")
    if image.mode == "LAB":
        return image.getchannel("L")
    if image.mode == "La":  # the one mode that Pillow cannot turn to RGBA in one step
        image = image.convert("LA")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "CMYK":
        image = _in_srgb(image)  # here, since its profile speaks of inks
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _is_deep(image: PIL.Image.Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _shift(image: PIL.Image.Image) -> int:
    """Return by how many bits a grey image of more than 8 is to be shifted; levels below 256 are 8-bit already."""
    if not _is_deep(image):
        return 0
    levels = (np.asarray(image.crop(box)) for box in _parts(image.size, 1))
    lowest, highest = zip(*((int(part.min()), int(part.max())) for part in levels), strict=True)
    low, high = min(lowest), max(highest)
    if low < 0 or high > 65535:
        raise ImageError("unreadable-image", f"grey levels {low}..{high} are not 16-bit; save it with 8 bits")
    return 8 if high > 255 else 0


def _with_info(image: PIL.Image.Image, source: PIL.Image.Image) -> PIL.Image.Image:
    """Hand on what the file says of its picture: orientation, profile. Not its transparency, which is in the pixels."""
    image.info.update({key: value for key, value in source.info.items() if key != "transparency"})
    return image


# Colours, transparency, orientation

_PROFILE: Final = "icc_profile"  # Pillow's key for the embedded ICC profile
_RESULT_MODES: Final = {"RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB"}


def _in_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an RGB, RGBA or CMYK image with its profile applied, as sRGB; any other, or one without, as it is.

    Phones write Display P3, scanners and print shops others. A damaged profile, or one for another kind of pixels, is
    ignored.
    """
    profile = image.info.get(_PROFILE)
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
    converted.info = {key: value for key, value in image.info.items() if key != _PROFILE}
    return converted


def _opaque(image: PIL.Image.Image) -> PIL.Image.Image:
    """Lay what is transparent on white, as shops do; a 28x28 picture on black, as the dataset's background is.

    A picture of any other size as well, if what can be seen is bright and grey: on white, a bright garment cut out of
    the dataset's black background would vanish, as a black drawing of 28x28 pixels would on black.
    """
    if image.mode != "RGBA":
        return image
    pixels = np.asarray(image)
    colour, alpha = pixels[..., :3], pixels[..., 3]
    seen = colour[alpha > 0]
    if image.size == (IMAGE_SIDE, IMAGE_SIDE):
        on_black = bool(seen.any())
    else:
        is_grey = bool((seen == seen[:, :1]).all())
        on_black = is_grey and seen.size > 0 and np.average(colour[..., 0], weights=alpha) > 127
    background = PIL.Image.new("RGB", image.size, "black" if on_black else "white")
    background.paste(image.convert("RGB"), mask=image.getchannel("A"))
    background.info.update(image.info)
    return background


_ORIENTATION_TAG: Final = 0x0112  # Exif 2.32


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    try:
        if image.getexif().get(_ORIENTATION_TAG, 1) == 1:
            return image
        from PIL import ImageOps  # not above: few pictures need it

        return ImageOps.exif_transpose(image)
    except Exception:  # the picture itself is good, only its EXIF block is damaged
        return image


def _cause(error: Exception) -> str:
    """Return the first line of an exception, printable and short: its text may quote the file's bytes."""
    text = str(error).strip() or type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text.split("\n")[0])[:120]


# Quiet libraries. Python's warning filters and the file descriptor of standard error belong to the whole process: were
# each thread to save and restore them by itself, the last one out could bring back what was another's. So the first
# one in saves, and the last one out restores.


class _Shared:
    """A state of the process that is changed while at least one thread is inside."""

    def __init__(self, change: Callable[[ExitStack], None]) -> None:
        self._change = change
        self._undo = ExitStack()
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._change(self._undo)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._undo.close()


def _ignore_warnings(undo: ExitStack) -> None:
    undo.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")


def _mute_standard_error(undo: ExitStack) -> None:
    try:
        saved = os.dup(2)
    except OSError:  # it is closed already
        return
    if sys.stderr:
        sys.stderr.flush()
    undo.callback(os.close, saved)
    undo.callback(os.dup2, saved, 2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


_quiet_warnings: Final = _Shared(_ignore_warnings).hold

quiet_standard_error: Final = _Shared(_mute_standard_error).hold
"""Mute standard error inside the block, in several threads at once, also what C code writes there."""
