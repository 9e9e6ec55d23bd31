"""A contender ready to run, in the form that all share."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.contract import LABELS

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


def as_they_are(images: Images) -> Any:
    """Return the images: what a model with its scaling inside takes."""
    return images


def scaled(images: Images) -> NDArray[np.float32]:
    """Return grey levels as 0..1, float32: what a model without scaling takes."""
    return images.astype(np.float32) / np.float32(255)


def pillow_pixels(png: bytes) -> Images:
    """Decode a PNG as anyone would."""
    return np.asarray(PIL.Image.open(io.BytesIO(png)))


@dataclass(frozen=True)
class Opened:
    """A contender that was opened for a number of threads."""

    run: Callable[[Any], Any]
    """A prepared batch of one image to probabilities [1, 10]."""
    run_many: Callable[[Any], Any]
    """A prepared batch of any size to probabilities [n, 10]."""
    prepare: Callable[[Images], Any] = as_they_are
    """uint8 [n, 28, 28] to what `run` takes."""
    decode: Callable[[bytes], Images] = pillow_pixels
    """A PNG file's bytes to uint8 [28, 28]."""
    classify: Callable[[bytes], str] | None = None
    """A PNG file's bytes to the label, where the contender does that itself; else the stages one by one."""

    def label(self, prepared: Any) -> str:
        """Run one prepared image and name the best class."""
        return LABELS[int(np.argmax(self.run(prepared)))]

    def png_to_label(self, png: bytes) -> str:
        """Return the label of a PNG file."""
        return self.classify(png) if self.classify else self.label(self.prepare(self.decode(png)[None]))
