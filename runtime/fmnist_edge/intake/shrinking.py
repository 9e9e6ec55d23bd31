"""From any mode and size to 8-bit grey or colour of at most MAX_SIDE pixels, without a second copy of a large picture.

A large picture is converted and averaged down tile by tile: its own pixels are all that is ever held of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.errors import ImageError
from fmnist_edge.intake.colour_profiles import in_srgb
from fmnist_edge.intake.opening import MAX_SIDE

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
