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
LEAST_SIDE: Final = 128  # pixels; hosts reduce larger photos to a long side of this or more, of at most 512
UNSURE: Final = "unsure"  # the label shown when the confidence is below the threshold


# The photo model: `photo` uint8 [height, width, 3] RGB of any size in; `probabilities` float32 [1, 10] and `saw`
# float32 [rows, columns] out, the class activation map of the best class, 0..1, over the whole photo.
PHOTO_NAME: Final = "photo"
SAW_NAME: Final = "saw"

# Of the photo model before this one; they go with the last module that names them.
MASK_NAME: Final = "mask"
MASK_SIDE: Final = 96
PHOTO_MAX_SIDE: Final = 1024
