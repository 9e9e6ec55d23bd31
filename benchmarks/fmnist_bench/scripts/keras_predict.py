"""python keras_predict.py MODEL.keras IMAGE.png: the label, by Keras."""

import sys

import keras
import numpy as np
from PIL import Image

from fmnist_edge import LABELS

model = keras.saving.load_model(sys.argv[1], compile=False)
image = np.asarray(Image.open(sys.argv[2]))
print(LABELS[model.predict(image[None], verbose=0).argmax()])
