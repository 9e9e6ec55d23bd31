"""Backends: this project's files, onnxruntime, LiteRT, OpenVINO, numpy, Keras. One thread each."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge import LABELS, Classifier

Images = NDArray[np.uint8]
INT8, FP32, KERAS, WEIGHTS = "int8.onnx", "fp32.onnx", "original.keras", "weights.npz"
LITERT_INT8, LITERT_FP32, FORM = "int8.tflite", "fp32.tflite", "form.json"

# Images that LiteRT runs at once. Measured for 10,000 images, int8: 7.5 ms in parts of 250, 8.2 of 100, 8.0 of 1,000,
# 10.7 in one; fp32 16.7, 16.0, 19.1 and 25.7 ms.
_LITERT_PART: Final = 250


@dataclass(frozen=True)
class Network:
    """A backend that has loaded its model."""

    run: Callable[[Any], Any]  # one prepared image to probabilities [1, 10]
    run_many: Callable[[Any], Any]  # prepared images to probabilities [n, 10]
    prepare: Callable[[Images], Any] = lambda images: images  # uint8 [n, 28, 28] to what `run` takes
    classify: Callable[[bytes], str] | None = None  # a picture file to its label, if the backend decodes

    def label(self, file: bytes) -> str:
        """Return the label of a picture file; Pillow decodes it for a backend that can't."""
        if self.classify:
            return self.classify(file)
        image = np.asarray(PIL.Image.open(io.BytesIO(file)))
        return LABELS[int(np.argmax(self.run(self.prepare(image[None]))))]


def _classifier(model: Path) -> Network:
    """Open this project's public class."""
    opened = Classifier(model)
    return Network(opened.predict, opened.predict, classify=lambda file: opened.classify(file).label)


def _session(model: Path) -> Network:
    """Open an .onnx file in onnxruntime's own Python interface."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    opened = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def run(images: Images) -> Any:
        return opened.run(["probabilities"], {"image": images})[0]

    return Network(run, run)


def _openvino(model: Path) -> Network:
    """Open OpenVINO, which reads the int8 .onnx file and runs the same integers; buffers are shared, not copied."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    opened = openvino.Core().compile_model(str(model), "CPU", settings).create_infer_request()

    def run(images: Images) -> Any:
        return opened.infer({0: images}, share_inputs=True, share_outputs=True)[0]

    return Network(run, run)


def _litert(model: Path) -> Network:
    """Open LiteRT (TensorFlow Lite) with XNNPACK kernels, for one image and for parts of many."""
    from ai_edge_litert.interpreter import Interpreter

    def opened(size: int) -> tuple[Any, Callable[[Any], Any]]:
        interpreter = Interpreter(str(model), num_threads=1)
        source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
        interpreter.resize_tensor_input(source["index"], [size, 28, 28])
        interpreter.allocate_tensors()

        def run(images: Any) -> Any:
            interpreter.set_tensor(source["index"], images)
            interpreter.invoke()
            return interpreter.get_tensor(target)

        return source["dtype"], run

    (dtype, run), (_, part) = opened(1), opened(_LITERT_PART)

    def run_many(images: Any) -> Any:
        return np.concatenate([part(images[at : at + _LITERT_PART]) for at in range(0, len(images), _LITERT_PART)])

    return Network(run, run_many) if dtype == np.uint8 else Network(run, run_many, _scaled)


def _scaled(images: Images) -> NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _numpy(weights: Path) -> Network:
    """Open a dense network in plain numpy, float32, as one would write it by hand."""
    with np.load(weights) as arrays:
        *hidden, last = [(arrays[f"kernel{at}"], arrays[f"bias{at}"]) for at in range(len(arrays.files) // 2)]

    def run(images: Any) -> Any:
        values = images.reshape(len(images), -1)
        for kernel, bias in hidden:
            values = np.maximum(values @ kernel + bias, 0)
        logits = values @ last[0] + last[1]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    return Network(run, run, _scaled)


def _keras(way: str, model: Path) -> Network:
    """Open Keras as the tutorial runs it (`predict`; many in steps of 1,000, as 32 is slower), called, or traced."""
    import tensorflow as tf
    from keras.saving import load_model

    from fmnist_convert.input_form import InputForm

    form = InputForm(**json.loads(model.with_name(FORM).read_bytes()))
    tf.config.threading.set_intra_op_parallelism_threads(1)  # TensorFlow accepts this once
    tf.config.threading.set_inter_op_parallelism_threads(1)
    opened = load_model(model, compile=False)
    if way == "predict":
        many = partial(opened.predict, batch_size=1000, verbose=0)
        return Network(partial(opened.predict, verbose=0), many, form.apply)
    call = partial(opened, training=False)
    if way == "function":
        call = tf.function(call, input_signature=[tf.TensorSpec((None, *form.shape), form.dtype)])

    def run(images: Images) -> Any:
        return call(images).numpy()

    return Network(run, run, form.apply)


@dataclass(frozen=True)
class Backend:
    """A way to run the network."""

    title: str
    file: str  # its model file, among those of `models.Prepared`
    open: Callable[[Path], Network]
    needs: str = "onnxruntime"  # the module that must be installed

    def missing(self) -> bool:
        """Tell whether its module is not installed."""
        return find_spec(self.needs) is None


OURS: Final = "ours-int8"
BACKENDS: Final = {
    OURS: Backend("fmnist-edge int8", INT8, _classifier),
    "ours-fp32": Backend("fmnist-edge fp32", FP32, _classifier),
    "onnxruntime-int8": Backend("int8 by session.run", INT8, _session),
    "litert-int8": Backend("LiteRT int8", LITERT_INT8, _litert, "ai_edge_litert"),
    "litert-fp32": Backend("LiteRT fp32", LITERT_FP32, _litert, "ai_edge_litert"),
    "openvino-int8": Backend("OpenVINO int8", INT8, _openvino, "openvino"),
    "numpy": Backend("numpy fp32", WEIGHTS, _numpy, "numpy"),
    "keras-function": Backend("Keras, tf.function", KERAS, partial(_keras, "function"), "tensorflow"),
    "keras-call": Backend("Keras, model(x)", KERAS, partial(_keras, "call"), "tensorflow"),
    "keras-predict": Backend("Keras, model.predict", KERAS, partial(_keras, "predict"), "tensorflow"),
}
