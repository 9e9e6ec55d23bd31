"""What the model saw: the picture, the heat map over it or the 28x28 pixels, and the ten bars, as a PNG."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.PngImagePlugin
from numpy.typing import NDArray

from fmnist_edge.classifier import Prediction
from fmnist_edge.decoding import decode
from fmnist_edge.image_files import MAX_PIXELS, ImageSource

SIDE: Final = 280  # pixels of each square; ten for each of the 28 of a dataset picture
_MARGIN: Final = 12
_TITLE: Final = 26  # height of the line of text above the squares
_BARS_WIDTH: Final = 300
_LABEL_WIDTH: Final = 96
_PERCENT_WIDTH: Final = 52
_BACKGROUND: Final = (255, 255, 255)
_TEXT: Final = (32, 32, 32)
# A blue and a grey that colour-blind people tell apart; an unsure answer has no blue bar.
_BEST: Final = (0, 90, 181)
_OTHER: Final = (170, 170, 170)
# The colours of the heat map at 0, 1/3, 2/3 and 1: matplotlib's "inferno" at 0.1, 0.4, 0.7 and 0.95, which grows
# steadily lighter. Where nothing was seen, the picture shows through; where most was, it still does by a third.
_HEAT: Final = np.array([(22, 11, 57), (136, 34, 106), (227, 89, 51), (246, 215, 70)], np.float32)
_MOST_COVER: Final = 0.65


def explanation(source: ImageSource, prediction: Prediction, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return a PNG file, 896 by 330 pixels, that explains the answer for a picture.

    On the left the picture; in the middle the same under its heat map, or the 28x28 pixels that the dataset classifier
    was given; on the right a bar for each class, as long as its probability. Raises ImageError, as `decode` does.
    """
    picture = decode(source, max_pixels=max_pixels, least_side=SIDE).convert("RGB")
    canvas = PIL.Image.new("RGB", (2 * SIDE + _BARS_WIDTH + 3 * _MARGIN, SIDE + _TITLE + 2 * _MARGIN), _BACKGROUND)
    draw = PIL.ImageDraw.Draw(canvas)
    seen, what = picture, "28x28 pixels for the model"
    if prediction.saw is not None:
        seen, what = overlay(_fitted(picture), prediction.saw), f"where it saw: {prediction.class_name}"
    elif prediction.image is not None:
        seen = PIL.Image.fromarray(prediction.image)
    middle, right = SIDE + 2 * _MARGIN, 2 * SIDE + 3 * _MARGIN
    for x, title in ((_MARGIN, "picture"), (middle, what), (right, _answer(prediction))):
        draw.text((x, _MARGIN), title, fill=_TEXT, font=PIL.ImageFont.load_default(15))
    _paste(canvas, _MARGIN, picture)
    _paste(canvas, middle, seen)
    _draw_bars(draw, prediction, right)
    mark = PIL.PngImagePlugin.PngInfo()
    mark.add_text("Software", "fmnist-edge")  # so that a later run knows whose file it is
    content = io.BytesIO()
    canvas.save(content, "PNG", pnginfo=mark)
    return content.getvalue()


def overlay(picture: PIL.Image.Image, saw: NDArray[np.float32]) -> PIL.Image.Image:
    """Return a picture as RGB in its own size with the heat map over it; `saw` is float32 [rows, columns], 0..1."""
    heat = np.asarray(PIL.Image.fromarray(saw).resize(picture.size, PIL.Image.Resampling.BILINEAR)).clip(0, 1)
    levels = np.linspace(0, 1, len(_HEAT))
    colours = np.stack([np.interp(heat, levels, _HEAT[:, channel]) for channel in range(3)], axis=2)
    cover = _MOST_COVER * np.sqrt(heat)[..., None]  # the root lets weak parts be seen
    mixed = np.asarray(picture.convert("RGB")) * (1 - cover) + colours * cover
    return PIL.Image.fromarray(np.rint(mixed).astype(np.uint8))


def _answer(prediction: Prediction) -> str:
    best = f"{prediction.class_name} ({100 * prediction.confidence:.1f} %)"
    return f"{prediction.label}: perhaps {best}" if prediction.unsure else best


def _fitted(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Return a picture enlarged or reduced to a long side of SIDE; small ones keep their pixels visible."""
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    sharp = scale > 2
    return picture.resize(size, PIL.Image.Resampling.NEAREST if sharp else PIL.Image.Resampling.BILINEAR)


def _paste(canvas: PIL.Image.Image, left: int, picture: PIL.Image.Image) -> None:
    """Put a picture into the middle of the square that begins at `left`."""
    fitted = _fitted(picture)
    top = _MARGIN + _TITLE
    canvas.paste(fitted.convert("RGB"), (left + (SIDE - fitted.width) // 2, top + (SIDE - fitted.height) // 2))


def _draw_bars(draw: PIL.ImageDraw.ImageDraw, prediction: Prediction, left: int) -> None:
    """Draw a bar for each class, its length the probability, in the order of the labels."""
    height, start = SIDE // len(prediction.labels), left + _LABEL_WIDTH
    longest = _BARS_WIDTH - _LABEL_WIDTH - _PERCENT_WIDTH - _MARGIN
    for number, (label, probability) in enumerate(zip(prediction.labels, prediction.probabilities, strict=True)):
        top = _MARGIN + _TITLE + number * height
        end = start + max(1, round(longest * float(probability)))
        colour = _BEST if number == prediction.index and not prediction.unsure else _OTHER
        draw.text((left, top + 6), label, fill=_TEXT, font=PIL.ImageFont.load_default(13))
        draw.rectangle((start, top + 4, end, top + height - 6), fill=colour)
        draw.text(
            (end + 6, top + 6), f"{100 * float(probability):.1f} %", fill=_TEXT, font=PIL.ImageFont.load_default(12)
        )
