"""From the Keras original to the files of the contenders. Run as a module: `python -m fmnist_bench.conversion DIR`."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from fmnist_bench.contenders import registry
from fmnist_edge.contract import IMAGE_SIDE, INPUT_NAME, LABELS

# LiteRT's guide to post-training quantization asks for 100 to 500; these are of the training images, never test ones.
CALIBRATION_IMAGES: Final = 1000


def convert(folder: Path) -> None:
    """Write every contender's file beside the original in `folder`."""
    from fmnist_convert.export import export_fp32
    from fmnist_convert.original import open_original

    original = open_original(folder / registry.ORIGINAL, input_form="0..255")
    model, onnx_model = original.model, export_fp32(original)
    entry = onnx_model.metadata_props.add()
    entry.key, entry.value = "labels", json.dumps(LABELS)
    (folder / registry.FP32).write_bytes(onnx_model.SerializeToString())
    _write_parts(folder, onnx_model.ir_version, onnx_model.opset_import[0].version)
    first, second = (layer for layer in model.layers if layer.count_params())
    arrays = dict(zip(("w1", "b1", "w2", "b2"), [*first.get_weights(), *second.get_weights()], strict=True))
    with (folder / registry.WEIGHTS).open("wb") as file:
        np.savez(file, **arrays)
    _write_litert(model, folder)


def _write_parts(folder: Path, ir_version: int, opset: int) -> None:
    """Write the graphs that show where the time of the int8 file goes: a copy, and its own beginnings."""
    import onnx

    from fmnist_convert.int8_graph import HIDDEN, LOGITS, with_inner_outputs

    (folder / registry.FLOOR).write_bytes(_floor(ir_version, opset))
    whole = with_inner_outputs(onnx.load(folder / registry.INT8))
    for name, output in ((registry.TO_HIDDEN, HIDDEN), (registry.TO_LOGITS, LOGITS)):
        (folder / name).write_bytes(
            onnx.utils.Extractor(whole).extract_model([INPUT_NAME], [output]).SerializeToString()
        )


def _floor(ir_version: int, opset: int) -> bytes:
    """Return a graph that only copies its input: what onnxruntime itself costs."""
    from onnx import TensorProto, helper

    shape = ["batch", IMAGE_SIDE, IMAGE_SIDE]
    source = helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, shape)
    target = helper.make_tensor_value_info("copy", TensorProto.UINT8, shape)
    node = helper.make_node("Identity", [INPUT_NAME], ["copy"])
    graph = helper.make_graph([node], "floor", [source], [target])
    opsets = [helper.make_opsetid("", opset)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version).SerializeToString()
    return content


def _write_litert(model: Any, folder: Path) -> None:
    """Convert to LiteRT as its guide says, on float images in 0..1, so that its int8 form can take uint8 images."""
    from fmnist_convert.backend import keras, tf

    image = keras.Input((IMAGE_SIDE, IMAGE_SIDE), dtype="float32")
    answer = image
    for layer in model.layers:
        if type(layer).__name__ not in ("InputLayer", "Rescaling"):
            answer = layer(answer)
    network = keras.Model(image, answer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (folder / registry.LITERT_FP32).write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
        (folder / registry.LITERT_INT8).write_bytes(converter.convert())


def _calibration() -> Iterator[list[Any]]:
    from fmnist_edge.dataset import load_split

    for image in load_split("train").images[:CALIBRATION_IMAGES]:
        yield [image[None].astype(np.float32) / 255]


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
