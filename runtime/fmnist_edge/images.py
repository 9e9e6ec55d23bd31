"""Pictures as the dataset classifier knows them: 28x28 pixels, the polarity, the batch.

The dataset classifier was trained on 28x28 grey levels, the garment bright on a black background. Imports no Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.errors import ImageError
from fmnist_edge.model_info import IMAGE_SIDE

if TYPE_CHECKING:
    import PIL.Image

    from fmnist_edge.image_files import ImageSource

# The background is light if the mean of the outermost pixels is above this, half of 255. Measured: the largest such
# mean of the dataset's 60,000 training images is 107.5.
LIGHT_BACKGROUND: Final = 127.5
# Outermost pixels whose levels lie within this range are plain: all background, or a frame. JPEG spreads a frame's
# levels by up to that. Of 60,000 training images 530 have such a ring, and the mean of the next ring is below 86 in
# all of them; so where the outermost ring is plain, the next one tells whether the background is light.
_PLAIN_RANGE: Final = 32
# A plain ring that is brighter than the next one by more than this is a frame (largest of the training images: 1.2).
_FRAME_STEP: Final = 16
# A frame in the background's own colour cuts the garment off: the next ring is more than this share as bright as the
# one inside it, which gets some levels more so that dark pictures don't count. Of the training images in a black frame
# it finds 8 of 10 (accuracy on the 5,000 for validation: 0.8926 instead of 0.8820; 0.9036 without a frame). Of those
# without a frame it takes 173 of 60,000 for framed, and 4 answers change.
_CUT_OFF: Final = 0.55
_CUT_OFF_LEVELS: Final = 5
# Pixels under a frame become this share of their neighbours inside. Chosen on the training images: their accuracy
# loses 2.9 points with 0, 4.5 with 1, 1.4 with 0.3 or 0.4 (0.7 on the 5,000 for validation).
_UNDER_FRAME: Final = 0.4
# A picture's background level is this percentile of the outermost pixels: low, since large garments cover most of
# them. Measured on the training images: it is above 0 for 3 of 60,000 (at most 11); the median is for 65 (up to 163).
BACKGROUND_PERCENTILE: Final = 25
# Of Pillow's filters the best for the dataset's images enlarged to 280x280 and 100x100 by four other filters:
# in the worst case Lanczos lost 0.7 point of accuracy, a box 1.0 and a triangle 1.5.
_LANCZOS: Final = 1  # PIL.Image.Resampling.LANCZOS, whose import plain images can do without


def load_image(source: ImageSource) -> NDArray[np.uint8]:
    """Return any picture as the dataset classifier takes it: uint8 [28, 28], the garment bright on black.

    Raises ImageError (see `decoding.decode` for its codes).
    """
    from fmnist_edge.decoding import decode  # not above: it imports Pillow

    return fit(decode(source))


def fit(picture: PIL.Image.Image) -> NDArray[np.uint8]:
    """Fit a decoded picture (mode L or RGB) to uint8 [28, 28].

    A 28x28 picture keeps its grey levels but for its polarity and frame. Of any other the long side becomes 28 pixels,
    the shape is kept, and the picture is centred. Its background is then brought to 0: the classifier has seen no
    other, and one of 15 cost it 5 points of accuracy.
    """
    grey = picture.convert("L")
    if grey.size == (IMAGE_SIDE, IMAGE_SIDE):
        return on_dark_background(np.asarray(grey))
    return _centred(_levelled(on_dark_background(_scaled(grey))))


def on_dark_background(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey image, uint8 [height, width], with a dark background: negated if its own is light.

    A frame of one pixel around it is taken off.
    """
    ring = _outermost(image.tobytes(), *image.shape)
    if max(ring) - min(ring) <= _PLAIN_RANGE and min(image.shape) >= 5:
        return _without_frame(image)
    if sum(ring) <= LIGHT_BACKGROUND * len(ring):
        return image
    negative: NDArray[np.uint8] = 255 - image
    return negative


def _outermost(levels: bytes, height: int, width: int) -> bytes:
    """Return the outermost pixels; as bytes, since numpy would take four times as long for so few."""
    left, right = levels[width:-width:width], levels[2 * width - 1 : -width : width]
    return levels[:width] + levels[-width:] + left + right


def _without_frame(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image whose outermost pixels are plain with a dark background, and without a frame."""
    if _border(image[1:-1, 1:-1]).mean() > LIGHT_BACKGROUND:
        image = 255 - image
    inside = image[1:-1, 1:-1]
    outer, middle, inner = (_border(part).mean() for part in (image, inside, inside[1:-1, 1:-1]))
    if outer - middle <= _FRAME_STEP and middle - outer <= _CUT_OFF * (inner - outer + _CUT_OFF_LEVELS):
        return image
    mended = (np.pad(inside, 1, mode="edge") * _UNDER_FRAME).astype(np.uint8)
    mended[1:-1, 1:-1] = inside
    return mended


def _scaled(grey: PIL.Image.Image) -> NDArray[np.uint8]:
    longest = max(grey.size)
    width, height = (max(1, round(side * IMAGE_SIDE / longest)) for side in grey.size)
    return np.asarray(grey.resize((width, height), _LANCZOS))


def _border(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the outermost pixels of an image, as a vector."""
    return np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])


def _levelled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch the grey levels so that the background's becomes 0 and 255 stays."""
    background = float(np.percentile(_border(image), BACKGROUND_PERCENTILE))
    stretched = np.rint((image - background) * (255 / (255 - background)))
    levelled: NDArray[np.uint8] = np.clip(stretched, 0, 255).astype(np.uint8)
    return levelled


def _centred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape
    top, left = (IMAGE_SIDE - height) // 2, (IMAGE_SIDE - width) // 2
    result = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    result[top : top + height, left : left + width] = image
    return result


def check_batch(images: object) -> None:
    """Raise ImageError (wrong-array or wrong-type) unless `images` is an array uint8 [n, 28, 28]."""
    if not isinstance(images, np.ndarray):
        raise ImageError("wrong-type", f"expected a numpy array, got {type(images).__name__}")
    side = (IMAGE_SIDE, IMAGE_SIDE)
    if images.dtype == np.uint8 and images.ndim == 3 and images.shape[1:] == side:
        return
    if images.shape == side:
        hint = "add a batch dimension: images[None]"
    elif images.ndim == 4 and images.shape[1:] == (*side, 1):
        hint = "drop the channel dimension: images[..., 0]"
    elif np.issubdtype(images.dtype, np.floating):
        hint = "pass grey levels 0..255, as (images * 255).astype(numpy.uint8) if yours lie in 0..1; the model scales"
    elif images.dtype != np.uint8:
        hint = "convert with images.astype(numpy.uint8) if the values lie in 0..255"
    else:
        hint = "fit the images to 28x28 first, or use classify()"
    raise ImageError("wrong-array", f"expected uint8 [n, 28, 28], got {images.dtype} {list(images.shape)}; {hint}")
