"""Draw the sample images: for each class, the first test image that the dataset itself labels so.

Once as it is, and once as a scene: tinted, enlarged and laid on a drawn ground, to stand for a photo (real photos of
others are not ours to give away). The dataset's order and labels choose them, not the model's answers, so the models
may well be wrong on one. Run `make samples`; the result is the same on every machine with the same libraries.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from fmnist_convert.photo.scenes import draw_scene
from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import load_split

HERE = Path(__file__).parent
SEED = 1


def main() -> None:
    """Write a 28x28 grey PNG and a JPEG scene of each class beside this file."""
    test = load_split("test")
    for index, label in enumerate(LABELS):
        image = test.images[int(np.flatnonzero(test.labels == index)[0])]
        name = f"{index}-{label.lower().replace('/', '-').replace(' ', '-')}"
        PIL.Image.fromarray(image).save(HERE / f"{name}.png", optimize=True)
        scene = draw_scene(image, np.random.default_rng((SEED, index)))
        PIL.Image.fromarray(scene).save(HERE / "scenes" / f"{name}.jpg", quality=85)


if __name__ == "__main__":
    main()
