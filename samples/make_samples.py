"""Draw the sample images: for each class, the first test image that the dataset itself labels so.

The dataset's order and labels choose them, not the model's answers, so the classifier may well be wrong on one.
Run `make samples`; the result is the same on every machine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import load_split


def main() -> None:
    """Write one 28x28 grey PNG per class beside this file."""
    test = load_split("test")
    for index, label in enumerate(LABELS):
        first = int(np.flatnonzero(test.labels == index)[0])
        name = f"{index}-{label.lower().replace('/', '-').replace(' ', '-')}.png"
        PIL.Image.fromarray(test.images[first]).save(Path(__file__).parent / name, optimize=True)


if __name__ == "__main__":
    main()
