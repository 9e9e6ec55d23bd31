"""python label.py BACKEND MODEL IMAGE.png: the number of the class; for each backend the shortest honest way to it.

`pillow-folder` instead: every picture of the folder MODEL to an upright array; prints how many.
"""

import json
import os
import sys

import numpy as np
from PIL import Image, ImageOps

backend, model = sys.argv[1:3]
if backend == "pillow-folder":
    for name in sorted(os.listdir(model)):
        with Image.open(os.path.join(model, name)) as picture:
            np.asarray(ImageOps.exif_transpose(picture))
    print(len(os.listdir(model)))
    sys.exit()

image = np.asarray(Image.open(sys.argv[3]))[None]
if backend.startswith("onnxruntime"):
    import onnxruntime

    answer = onnxruntime.InferenceSession(model).run(None, {"image": image})[0]
elif backend.startswith("openvino"):
    import openvino

    answer = openvino.Core().compile_model(model, "CPU")({0: image})[0]
elif backend.startswith("litert"):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    interpreter.set_tensor(source["index"], image if source["dtype"] == np.uint8 else image.astype(np.float32) / 255)
    interpreter.invoke()
    answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
elif backend.startswith("keras"):
    import keras

    from fmnist_convert.input_form import InputForm

    with open(os.path.join(os.path.dirname(model), "form.json")) as file:
        form = InputForm(**json.load(file))
    answer = keras.saving.load_model(model, compile=False).predict(form.apply(image), verbose=0)
else:
    weights = np.load(model)
    answer = image.reshape(1, -1) / np.float32(255)
    count = len(weights.files) // 2
    for at in range(count):
        answer = answer @ weights[f"kernel{at}"] + weights[f"bias{at}"]
        answer = np.maximum(answer, 0) if at < count - 1 else answer
print(int(answer.argmax()))
