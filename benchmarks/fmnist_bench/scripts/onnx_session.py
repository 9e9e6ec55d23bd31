"""python onnx_session.py MODEL.onnx IMAGE.png: the label, by onnxruntime alone."""

import sys

import numpy as np
import onnxruntime
from PIL import Image

from fmnist_edge import LABELS

session = onnxruntime.InferenceSession(sys.argv[1])
image = np.asarray(Image.open(sys.argv[2]))
print(LABELS[session.run(None, {"image": image[None]})[0].argmax()])
