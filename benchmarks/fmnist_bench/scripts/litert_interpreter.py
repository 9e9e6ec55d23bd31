"""python litert_interpreter.py MODEL.tflite IMAGE.png: the label, by LiteRT's int8 or fp32 file."""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from fmnist_edge import LABELS

interpreter = Interpreter(sys.argv[1])
interpreter.allocate_tensors()
source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
image = np.asarray(Image.open(sys.argv[2]))
scaled = image if source["dtype"] == np.uint8 else image.astype(np.float32) / 255
interpreter.set_tensor(source["index"], scaled[None])
interpreter.invoke()
print(LABELS[interpreter.get_tensor(target["index"]).argmax()])
