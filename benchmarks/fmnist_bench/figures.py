"""The figures that are measured, by the keys that bench.json uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Figure:
    """What a figure is."""

    title: str
    what: str
    """What one run includes, in a sentence."""


FIGURES: Final = {
    "cold-start": Figure("Cold start", "A whole process, from nothing to the label of one PNG file."),
    "one-image": Figure("One image, warm", "The model alone, for one image in memory; not the scaling to its input."),
    "png-to-label": Figure("One PNG, warm", "From the bytes of a PNG file to the label."),
    "png-decode": Figure("... decode", "From the bytes of a PNG file to its pixels."),
    "png-prepare": Figure("... prepare", "From pixels to the model's input."),
    "png-run": Figure("... run", "From the model's input to the label."),
    "ten-thousand": Figure("10,000 images in memory", "All test images through the model; not the scaling."),
    "folder": Figure("A folder of PNG files", "A whole process that reads every file of a folder."),
}

# Rows that are no contender: what the figures are held against.
OTHERS: Final = {
    "pillow": "Pillow's own open, orient and to-array",
    "numpy-import": "yardstick: python -c 'import numpy'",
    "matmul": "yardstick: numpy's float32 product with a 784x128 matrix",
    "pillow-decode": "yardstick: Pillow's open and to-array",
}
