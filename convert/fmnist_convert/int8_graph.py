"""The int8 classifier as an ONNX file: static QDQ form, default-domain operators only.

image -> Flatten -> DequantizeLinear -> Gemm -> Relu -> QuantizeLinear -> DequantizeLinear -> Gemm -> Softmax.
onnxruntime fuses this to Flatten, QGemm, QGemm, Softmax. The image itself is the quantized input, so the
graph begins without any rounding.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fmnist_convert.export import IR_VERSION, OPSET
from fmnist_convert.integer_network import IMAGE_SCALE, IntegerNetwork
from fmnist_convert.rounding import IntegerKernel
from fmnist_edge.contract import BATCH_DIMENSION, IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME

HIDDEN: Final = "hidden_quantized"  # uint8 [batch, units]; the device matrix compares it to the bit
LOGITS: Final = "logits"  # float32 [batch, 10]


def build_int8(network: IntegerNetwork) -> onnx.ModelProto:
    """Return the ONNX form of an integer network; checked by onnx's own checker with shape inference."""
    nodes = [
        helper.make_node("Flatten", [INPUT_NAME], ["pixels"], name="flatten", axis=1),
        _dequantize("pixels", "image_scale", "activation_zero"),
        *_layer("pixels", "hidden", "hidden_sum"),
        helper.make_node("Relu", ["hidden_sum"], ["hidden"], name="hidden_relu"),
        helper.make_node(
            "QuantizeLinear", ["hidden", "hidden_scale", "activation_zero"], [HIDDEN], name="hidden_quantize"
        ),
        _dequantize(HIDDEN, "hidden_scale", "activation_zero"),
        *_layer(HIDDEN, "output", LOGITS),
        helper.make_node("Softmax", [LOGITS], [OUTPUT_NAME], name="softmax", axis=1),
    ]
    image = helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, [BATCH_DIMENSION, IMAGE_SIDE, IMAGE_SIDE])
    probabilities = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [BATCH_DIMENSION, len(LABELS)])
    graph = helper.make_graph(nodes, "classifier", [image], [probabilities], _initializers(network))
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fmnist-edge",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def read_int8(model: onnx.ModelProto) -> IntegerNetwork:
    """Return the integers of a file that `build_int8` made."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return IntegerNetwork(
        hidden_kernel=IntegerKernel(tensors["hidden_kernel"], tensors["hidden_kernel_scale"]),
        hidden_bias=tensors["hidden_bias"],
        hidden_scale=np.float32(tensors["hidden_scale"]),
        kernel=IntegerKernel(tensors["output_kernel"], tensors["output_kernel_scale"]),
        bias=tensors["output_bias"],
    )


def with_inner_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that also outputs the quantized hidden layer and the logits, for bit comparisons."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    units = next(t.dims[1] for t in model.graph.initializer if t.name == "hidden_kernel")
    for name, kind, width in ((HIDDEN, TensorProto.UINT8, units), (LOGITS, TensorProto.FLOAT, len(LABELS))):
        copy.graph.output.append(helper.make_tensor_value_info(name, kind, [BATCH_DIMENSION, width]))
    return copy


def _layer(source: str, layer: str, target: str) -> list[onnx.NodeProto]:
    """Return a fully connected layer on a dequantized tensor, with its kernel and bias dequantized."""
    kernel, bias = f"{layer}_kernel", f"{layer}_bias"
    inputs = [f"{source}_dequantized", f"{kernel}_dequantized", f"{bias}_dequantized"]
    return [
        _dequantize(kernel, f"{kernel}_scale", f"{kernel}_zero", axis=1),
        _dequantize(bias, f"{bias}_scale", f"{bias}_zero", axis=0),
        helper.make_node("Gemm", inputs, [target], name=f"{layer}_gemm"),
    ]


def _dequantize(source: str, scale: str, zero: str, axis: int | None = None) -> onnx.NodeProto:
    attributes = {} if axis is None else {"axis": axis}
    return helper.make_node(
        "DequantizeLinear",
        [source, scale, zero],
        [f"{source}_dequantized"],
        name=f"{source}_dequantize",
        **attributes,
    )


def _initializers(network: IntegerNetwork) -> list[onnx.TensorProto]:
    """Return all constants of the graph, in alphabetical order."""
    arrays: dict[str, NDArray[np.generic]] = {
        "image_scale": np.asarray(IMAGE_SCALE),
        "activation_zero": np.asarray(0, np.uint8),
        "hidden_scale": np.asarray(network.hidden_scale),
        "hidden_kernel": network.hidden_kernel.values,
        "hidden_kernel_scale": network.hidden_kernel.scales,
        "hidden_bias": network.hidden_bias,
        "hidden_bias_scale": IMAGE_SCALE * network.hidden_kernel.scales,
        "output_kernel": network.kernel.values,
        "output_kernel_scale": network.kernel.scales,
        "output_bias": network.bias,
        "output_bias_scale": network.hidden_scale * network.kernel.scales,
    }
    for layer, kind in (("hidden_kernel", np.int8), ("hidden_bias", np.int32)):
        arrays[f"{layer}_zero"] = np.zeros(network.hidden_bias.shape, kind)
    for layer, kind in (("output_kernel", np.int8), ("output_bias", np.int32)):
        arrays[f"{layer}_zero"] = np.zeros(network.bias.shape, kind)
    return [numpy_helper.from_array(arrays[name], name) for name in sorted(arrays)]
