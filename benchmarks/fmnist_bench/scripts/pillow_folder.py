"""python pillow_folder.py DIR: every picture of a folder to an upright array, by Pillow; prints how many."""

import os
import sys

import numpy as np
from PIL import Image, ImageOps

count = 0
for name in sorted(os.listdir(sys.argv[1])):
    with Image.open(os.path.join(sys.argv[1], name)) as picture:
        np.asarray(ImageOps.exif_transpose(picture))
    count += 1
print(count)
