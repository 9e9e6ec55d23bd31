"""Draw the sample images: for each class, the first test image that the dataset itself labels so.

The dataset's order and labels choose them, not the model's answers, so the model may well be wrong on one. Run
`python samples/make_samples.py`; the result is the same on every machine with the same libraries. The photos in
photos/ are as they came.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from fmnist_edge.dataset import load_split
from fmnist_edge.model_info import LABELS

HERE = Path(__file__).parent


def main() -> None:
    """Write a 28x28 grey PNG of each class beside this file."""
    test = load_split("test")
    for index, label in enumerate(LABELS):
        image = test.images[int(np.flatnonzero(test.labels == index)[0])]
        name = f"{index}-{label.lower().replace('/', '-').replace(' ', '-')}"
        PIL.Image.fromarray(image).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
