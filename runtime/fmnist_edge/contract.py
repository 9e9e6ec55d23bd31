"""What every model file promises, in one place: names, shapes, labels.

Training builds to it, conversion stamps it, the runtime refuses a file that breaks it.
"""

from __future__ import annotations

from typing import Final

# The ten classes, in the order of the dataset's label numbers (Xiao, Rasul, Vollgraf 2017, table 2).
LABELS: Final = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
IMAGE_SIDE: Final = 28  # pixels; images are uint8 [28, 28], 0 is the black ground, 255 the brightest garment
INPUT_NAME: Final = "image"  # uint8 [batch, 28, 28]
OUTPUT_NAME: Final = "probabilities"  # float32 [batch, 10], each row sums to 1
BATCH_DIMENSION: Final = "batch"
UNSURE: Final = "unsure"  # the label shown when the confidence is below the threshold

# The photo model: `photo` uint8 [height, width, 3] RGB of any size in; `probabilities` float32 [1, 10], `image` uint8
# [28, 28] (what the head saw) and `mask` uint8 [96, 96] (where the garment is, 0..255) out.
PHOTO_NAME: Final = "photo"
MASK_NAME: Final = "mask"
MASK_SIDE: Final = 96
PHOTO_MAX_SIDE: Final = (
    1024  # pixels; hosts reduce the long side of larger photos to at most this, for memory and speed
)
