"""python openvino_request.py MODEL.onnx IMAGE.png: the label, by OpenVINO."""

import sys

import numpy as np
import openvino
from PIL import Image

from fmnist_edge import LABELS

model = openvino.Core().compile_model(sys.argv[1], "CPU")
image = np.asarray(Image.open(sys.argv[2]))
print(LABELS[model({0: image[None]})[0].argmax()])
