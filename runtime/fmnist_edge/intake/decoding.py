"""From any source to an upright picture: formats, modes, transparency, orientation. Knows nothing of clothes."""

from __future__ import annotations

from typing import Final

import numpy as np
import PIL.Image

from fmnist_edge.errors import ImageError
from fmnist_edge.intake.colour_profiles import in_srgb
from fmnist_edge.intake.limits import MAX_PIXELS
from fmnist_edge.intake.opening import MAX_SIDE, SEVERAL_FRAMES, ImageSource, open_source
from fmnist_edge.intake.quiet_pillow import quiet_libtiff, quiet_pillow
from fmnist_edge.intake.shrinking import shrink
from fmnist_edge.intake.webp_pixels import take_pixels

__all__ = ["MAX_PIXELS", "MAX_SIDE", "SEVERAL_FRAMES", "ImageSource", "decode"]

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
