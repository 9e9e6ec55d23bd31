"""The contract of every model file: names, shapes, labels.

Training builds to it, conversion writes it into the file, the runtime refuses a file that breaks it.
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
IMAGE_SIDE: Final = 28  # pixels; images are uint8 [28, 28], 0 is the black background, 255 the brightest garment
INPUT_NAME: Final = "image"  # uint8 [batch, 28, 28]
OUTPUT_NAME: Final = "probabilities"  # float32 [batch, 10], each row sums to 1
BATCH_DIMENSION: Final = "batch"
UNSURE: Final = "unsure"  # the label when the confidence is below the threshold


# The photo model: `photo` uint8 [height, width, 3] RGB of any size in; `probabilities` float32 [1, 10] and `saw`
# float32 [rows, columns] out, the class activation map of the best class, 0..1, over the whole photo.
PHOTO_NAME: Final = "photo"
SAW_NAME: Final = "saw"
# Hosts reduce larger photos by any averaging filter to a long side of this many pixels or more, 512 at most.
LEAST_SIDE: Final = 128
