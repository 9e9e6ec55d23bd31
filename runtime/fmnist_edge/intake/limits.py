"""What a picture may cost in memory: checked by its header, before a pixel is decoded.

A file of a few bytes can claim any size, and some formats take several times what their pixels do. With the limits
here a whole `classify` stays under 300 MB for any file: about 60 MB of code and model, up to 35 MB that onnxruntime
keeps for photos, and BYTES_A_PIXEL for each of MAX_PIXELS (docs/reliability.md has what was measured).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fmnist_edge.errors import ImageError
from fmnist_edge.intake.jpeg_scans import count_scans, has_many_scans

if TYPE_CHECKING:
    import PIL.Image

# More pixels than this are refused (of a JPEG, those of its reduced decoding), unless a caller sets another limit.
MAX_PIXELS: Final = 25_000_000
# Pillow refuses what is larger than this itself (twice its MAX_IMAGE_PIXELS), so no limit can be above it.
HIGHEST_MAX_PIXELS: Final = 178_956_970
# Memory that decoding may take for each pixel of the limit: those decoded and the file, which is in memory, too.
BYTES_A_PIXEL: Final = 7.5
# libjpeg goes through all of a picture for every scan. Encoders write up to 18 (a progressive CMYK picture by
# libjpeg's own script); a file of a megabyte can hold thousands and take hours.
MAX_SCANS: Final = 100

# Bytes for each pixel, all in all, of those that decode on their own: libwebp's two canvases and what it works on (12.0
# measured with 24 million pixels); libavif's planes and two copies (9.2 measured with 8 bits and halved colour, 11.6
# with transparency; more bits and full colour take 4 more).
_WHOLE_COST: Final = {"WEBP": 12, "AVIF": 14}
_MODE_COST: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # all others take 4
_TIFF_TILE_SIDES: Final = (322, 323)  # TIFF 6.0, section 15: TileWidth, TileLength


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Raise ImageError if a picture has no pixel, or more than `max_pixels`."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageError("unreadable-image", f"a picture of {width}x{height} holds no pixel")
    if width * height > max_pixels:
        raise ImageError("too-large", f"{width}x{height} is more than {max_pixels:,} pixels; reduce the picture first")


def check_file(image: PIL.Image.Image, data: bytes, full_size: tuple[int, int], max_pixels: int) -> None:
    """Raise ImageError if decoding an opened file would take too much memory or time.

    `full_size` is that of the file; the image's own may be smaller, where a JPEG is decoded at reduced scale.
    """
    check_size(image.size, max_pixels)
    if image.format == "TIFF":
        _check_tiles(image, max_pixels)
    if image.format == "JPEG" and count_scans(data) > MAX_SCANS:
        raise ImageError("too-large", f"a JPEG of more than {MAX_SCANS} scans; save the picture anew")
    copies = 2 if image.format == "WEBP" else 1  # Pillow hands libwebp a copy
    needed = copies * len(data) + image.width * image.height * _cost(image) + _held_by_libjpeg(image, data, full_size)
    if needed > BYTES_A_PIXEL * max_pixels:
        raise ImageError(
            "too-large",
            f"{full_size[0]}x{full_size[1]} pixels as {image.format} take {needed / 1e6:.0f} MB to decode, more than "
            f"{BYTES_A_PIXEL * max_pixels / 1e6:.0f}; reduce the picture first, or save it as a plain JPEG",
        )


def _cost(image: PIL.Image.Image) -> int:
    return _WHOLE_COST.get(str(image.format)) or _MODE_COST.get(image.mode, 4)


def _held_by_libjpeg(image: PIL.Image.Image, data: bytes, full_size: tuple[int, int]) -> int:
    """Return the bytes of coefficients that libjpeg holds where a picture comes in several scans.

    16 bits for each sample of each component, at full size even where the picture is decoded at reduced scale.
    """
    if image.format != "JPEG" or not (image.info.get("progressive") or has_many_scans(data)):
        return 0
    sampling = [(across, down) for _, across, down, _ in getattr(image, "layer", ())] or [(1, 1)]
    largest = max(across for across, _ in sampling) * max(down for _, down in sampling)
    samples = sum(across * down for across, down in sampling) / max(1, largest)
    return int(2 * full_size[0] * full_size[1] * samples)


def _check_tiles(image: PIL.Image.Image, max_pixels: int) -> None:
    """Refuse tiles larger than a picture may be: libtiff decodes each whole, however small the picture."""
    tags = getattr(image, "tag_v2", {})
    width, height = (tags.get(side, 1) for side in _TIFF_TILE_SIDES)
    if not (isinstance(width, int) and isinstance(height, int)):
        raise ImageError("unreadable-image", "damaged picture (the size of its tiles is no number)")
    check_size((max(1, width), max(1, height)), max_pixels)
