"""A picture that explains an answer: the original with the garment's outline, what the network saw, the ten bars."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.PngImagePlugin
from numpy.typing import NDArray

from fmnist_edge.atomic import write_atomically
from fmnist_edge.batch import shown_label
from fmnist_edge.classifier import Prediction

SIDE: Final = 280  # pixels; ten for each of the 28 that the network saw
MARGIN: Final = 12
BARS_WIDTH: Final = 300
LABEL_WIDTH: Final = 96
_GROUND: Final = (255, 255, 255)
_TEXT: Final = (32, 32, 32)
_BEST: Final = (0, 90, 181)  # a blue and a grey that colour-blind people tell apart, too
_OTHER: Final = (170, 170, 170)
_OUTLINE: Final = (255, 0, 200)
_STAMP: Final = PIL.PngImagePlugin.PngInfo()  # says who wrote the file, see cli/options.py
_STAMP.add_text("Software", "fmnist-edge")


def explain(picture: PIL.Image.Image, prediction: Prediction, min_confidence: float | None = None) -> PIL.Image.Image:
    """Return an RGB picture, 900 by 330 pixels, that explains the answer for a decoded picture (mode L or RGB)."""
    width = 2 * SIDE + BARS_WIDTH + 4 * MARGIN
    canvas = PIL.Image.new("RGB", (width, SIDE + 3 * MARGIN + 14), _GROUND)
    draw = PIL.ImageDraw.Draw(canvas)
    top = 2 * MARGIN + 14
    shown = _outlined(picture, prediction.mask)
    canvas.paste(shown, (MARGIN + (SIDE - shown.width) // 2, top + (SIDE - shown.height) // 2))
    if prediction.image is not None:
        seen = PIL.Image.fromarray(prediction.image).resize((SIDE, SIDE), PIL.Image.Resampling.NEAREST)
        canvas.paste(seen.convert("RGB"), (SIDE + 2 * MARGIN, top))
    left = 2 * SIDE + 3 * MARGIN
    answer = f"{shown_label(prediction, min_confidence)} ({100 * prediction.confidence:.1f} %)"
    for x, title in ((MARGIN, "picture"), (SIDE + 2 * MARGIN, "what the network saw"), (left, answer)):
        draw.text((x, MARGIN), title, fill=_TEXT, font=_font(15))
    _draw_bars(draw, prediction, left, top)
    return canvas


def _outlined(picture: PIL.Image.Image, mask: NDArray[np.uint8] | None) -> PIL.Image.Image:
    """Return the picture within a square of SIDE, the edge of the mask drawn on it."""
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    smooth = PIL.Image.Resampling.NEAREST if scale > 2 else PIL.Image.Resampling.BILINEAR
    shown = picture.convert("RGB").resize(size, smooth)
    if mask is None or not mask.any():
        return shown
    inside = np.asarray(PIL.Image.fromarray(mask).resize(size, PIL.Image.Resampling.BILINEAR)) > 127
    pixels = np.array(shown)
    pixels[inside & ~_shrunk(inside)] = _OUTLINE
    return PIL.Image.fromarray(pixels)


def _shrunk(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels whose neighbours two pixels away in each direction are inside, too."""
    padded = np.pad(inside, 2)
    sides = (padded[:-4, 2:-2], padded[4:, 2:-2], padded[2:-2, :-4], padded[2:-2, 4:])
    return np.asarray(np.logical_and.reduce(sides), np.bool_)


def _draw_bars(draw: PIL.ImageDraw.ImageDraw, prediction: Prediction, left: int, top: int) -> None:
    """Draw a bar for each class, its length the probability, in the order of the labels."""
    height = SIDE // len(prediction.labels)
    room = BARS_WIDTH - LABEL_WIDTH - 52
    for number, (label, probability) in enumerate(zip(prediction.labels, prediction.probabilities, strict=True)):
        y = top + number * height
        colour = _BEST if number == prediction.index else _OTHER
        draw.text((left, y + 5), label, fill=_TEXT, font=_font(13))
        start = left + LABEL_WIDTH
        draw.rectangle((start, y + 4, start + max(1, round(room * float(probability))), y + height - 6), fill=colour)
        end = start + round(room * float(probability)) + 6
        draw.text((end, y + 5), f"{100 * float(probability):.1f} %", fill=_TEXT, font=_font(12))


def _font(size: int) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    return PIL.ImageFont.load_default(size)


class ExplanationFolder:
    """A folder of explanations, one PNG file an image, named after it: shirt.png, then shirt-2.png."""

    def __init__(self, folder: Path, min_confidence: float | None = None) -> None:
        self._folder = folder
        self._min_confidence = min_confidence
        self._counts: Counter[str] = Counter()

    def save(self, path: str, picture: PIL.Image.Image, prediction: Prediction) -> None:
        """Draw and write the explanation of the answer for the image that came from `path`. Raises OutputError."""
        stem = "standard-input" if path == "-" else Path(path).stem
        self._counts[stem] += 1
        number = self._counts[stem]
        content = io.BytesIO()
        explain(picture, prediction, self._min_confidence).save(content, "PNG", pnginfo=_STAMP)
        name = f"{stem}.png" if number == 1 else f"{stem}-{number}.png"
        write_atomically(self._folder / name, content.getvalue())
