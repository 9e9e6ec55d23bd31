"""python numpy_network.py WEIGHTS.npz IMAGE.png: the label, by numpy alone."""

import sys

import numpy as np
from PIL import Image

from fmnist_edge import LABELS

weights = np.load(sys.argv[1])
image = np.asarray(Image.open(sys.argv[2])).reshape(1, -1) / np.float32(255)
hidden = np.maximum(image @ weights["w1"] + weights["b1"], 0)
print(LABELS[(hidden @ weights["w2"] + weights["b2"]).argmax()])
