"""From any picture to what the classifier was trained on: 28x28, grey, a bright garment on black."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import IMAGE_SIDE

if TYPE_CHECKING:
    import PIL.Image

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[Any]"

# The ground's level is this percentile of the outermost pixels: low, since large garments cover most of them.
# Measured on the training images: it is above 0 for 3 of 60,000 (at most 11); the median is for 65 (up to 163).
GROUND_PERCENTILE: Final = 25
# Of Pillow's filters the best for the dataset's images enlarged to 280x280 and 100x100 by four other filters:
# in the worst case Lanczos lost 0.7 point of accuracy, a box 1.0 and a triangle 1.5.
_LANCZOS: Final = 1  # PIL.Image.Resampling.LANCZOS, whose import plain images can do without


def load_image(source: ImageSource) -> NDArray[np.uint8]:
    """Return any picture as the classifier expects it: uint8 [28, 28], 0 the black ground, 255 the brightest.

    A 28x28 picture keeps its grey levels, negated where its ground is light. Others are fitted, see `fit`.
    Raises ImageError (see `decode` for its codes).
    """
    from fmnist_edge.decoding import decode  # not above: it imports Pillow

    return fit(decode(source))


def fit(picture: PIL.Image.Image) -> NDArray[np.uint8]:
    """Fit a decoded picture (mode L or RGB) to uint8 [28, 28].

    Its long side becomes 28 pixels, its shape is kept, and it is centred. A light ground is negated. The ground is
    then brought to 0: the classifier has seen no other, and one of 15 cost it 5 points of accuracy.
    """
    grey = picture.convert("L")
    if grey.size == (IMAGE_SIDE, IMAGE_SIDE):
        return on_dark(np.array(grey))
    return _centred(_levelled(on_dark(_scaled(grey))))


def _scaled(grey: PIL.Image.Image) -> NDArray[np.uint8]:
    longest = max(grey.size)
    width, height = (max(1, round(side * IMAGE_SIDE / longest)) for side in grey.size)
    return np.asarray(grey.resize((width, height), _LANCZOS))


def _border(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the outermost pixels of an image, as a vector."""
    return np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])


def _levelled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch the grey levels so that the ground's becomes 0 and 255 stays."""
    ground = float(np.percentile(_border(image), GROUND_PERCENTILE))
    stretched = np.rint((image - ground) * (255 / (255 - ground)))
    levelled: NDArray[np.uint8] = np.clip(stretched, 0, 255).astype(np.uint8)
    return levelled


def _centred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape
    top, left = (IMAGE_SIDE - height) // 2, (IMAGE_SIDE - width) // 2
    result = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    result[top : top + height, left : left + width] = image
    return result


# The ground is light if the mean of the outermost pixels is above this, half of 255. Measured: the largest such
# mean of the dataset's 60,000 training images is 107.5 (of the test images 94.9), so none is taken for light.
LIGHT_GROUND: Final = 127.5


def on_dark(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey image, uint8 [height, width], on a dark ground: negated if its outermost pixels are light."""
    if not _is_light(image.tobytes(), *image.shape):
        return image
    negative: NDArray[np.uint8] = 255 - image
    return negative


def _is_light(levels: bytes, height: int, width: int) -> bool:
    """Sum the outermost pixels; as bytes, since numpy would take four times as long for so few."""
    top, bottom = levels[:width], levels[-width:]
    left, right = levels[width:-width:width], levels[2 * width - 1 : -width : width]
    count = 2 * (width + max(0, height - 2))
    return sum(top) + sum(bottom) + sum(left) + sum(right) > LIGHT_GROUND * count
