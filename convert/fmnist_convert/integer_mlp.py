"""The int8 form of a dense chain: its integers, their arithmetic in numpy, and the same as an ONNX graph.

image -> Flatten -> DequantizeLinear -> (Gemm -> Relu -> QuantizeLinear -> DequantizeLinear)... -> Gemm -> Softmax.
onnxruntime fuses this to Flatten, QGemm, ..., QGemm, Softmax. The image is its own quantized input, so nothing is
rounded at the start. Default-domain operators only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fmnist_convert.dense_chain import PIXELS, Dense, DenseChain
from fmnist_edge.model_info import BATCH_DIMENSION, IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME

OPSET: Final = 13  # with IR 7: loads from onnxruntime 1.8 on, exact from 1.11 on (measured up to 1.32)
IR_VERSION: Final = 7
# The image is its own quantized form: a grey level g stands for g/255, with zero point 0.
IMAGE_SCALE: Final = np.float32(1 / 255)
ACTIVATION_LIMIT: Final = 255


@dataclass(frozen=True)
class IntegerKernel:
    """An int8 kernel with one scale for each output channel: kernel = values * scales."""

    values: NDArray[np.int8]  # int8 [inputs, outputs], within the bounds above
    scales: NDArray[np.float32]  # float32 [outputs], positive, 16 significant bits


@dataclass(frozen=True)
class IntegerLayer:
    """One layer in integers."""

    kernel: IntegerKernel  # int8 [inputs, outputs] with a scale for each output
    bias: NDArray[np.int32]  # int32 [outputs], in steps of input_scale * kernel.scales
    input_scale: np.float32  # one step of the layer's uint8 inputs; their zero point is 0

    @property
    def steps(self) -> NDArray[np.float32]:
        """What one of each output's integer sums is worth: float32 [outputs]."""
        return self.input_scale * self.kernel.scales

    def sums(self, inputs: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the exact integer sums, int32 [n, outputs], of inputs uint8 [n, inputs]."""
        return _integer_product(inputs, self.kernel.values) + self.bias

    def quantized(self, sums: NDArray[np.int32], scale: np.float32) -> NDArray[np.uint8]:
        """Return the activations in steps of `scale`, uint8 [n, outputs], of the layer's sums int32 [n, outputs].

        One float32 factor for each unit, rounded half to even, clipped.
        """
        steps = np.rint(sums.astype(np.float32) * (self.input_scale * self.kernel.scales / scale))
        return np.clip(steps, 0, ACTIVATION_LIMIT).astype(np.uint8)

    def as_floats(self) -> Dense:
        """Return the float layer that these integers represent."""
        scales = self.kernel.scales.astype(np.float64)
        return Dense(self.kernel.values * scales, self.bias * (np.float64(self.input_scale) * scales))


@dataclass(frozen=True)
class IntegerMlp:
    """An int8 classifier: uint8 activations, int8 kernels, int32 biases and sums."""

    layers: tuple[IntegerLayer, ...]

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits, float32 [n, 10], of uint8 [n, 28, 28] images."""
        return self.logits_behind(self.layers[0].sums(images.reshape(-1, PIXELS)))

    def logits_behind(self, sums: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the logits, float32 [n, 10], given the first layer's sums, int32 [n, outputs]."""
        last = self.layers[-1]
        if len(self.layers) > 1:
            sums = last.sums(self._last_inputs(sums))
        return sums.astype(np.float32) * last.steps

    def _last_inputs(self, sums: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Return the uint8 inputs of the last of several layers, given the first layer's sums."""
        for layer, following in zip(self.layers[:-2], self.layers[1:], strict=False):
            sums = following.sums(layer.quantized(sums, following.input_scale))
        return self.layers[-2].quantized(sums, self.layers[-1].input_scale)

    def as_floats(self) -> DenseChain:
        """Return the float network that these integers represent, without the rounding of activations."""
        return DenseChain(tuple(layer.as_floats() for layer in self.layers))


def integer_bias(bias: NDArray[np.float64], steps: NDArray[np.float32]) -> NDArray[np.int32]:
    """Round a float bias to int32 in the given steps (scale of the inputs times scale of the kernel)."""
    return np.rint(bias / steps.astype(np.float64)).astype(np.int32)


def _integer_product(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
    """Multiply exactly, in float: every sum is below 255 * 128 * inputs / 2, and BLAS is far faster than integers."""
    kind = np.float32 if len(weights) <= EXACT_IN_FLOAT32 else np.float64
    return (activations.astype(kind) @ weights.astype(kind)).astype(np.int32)


# Inputs of a layer up to which float32 holds every sum exactly: 2**24 / (255 * 64), the pair bound being 128 for two.
EXACT_IN_FLOAT32: Final = 1028


def build_onnx(network: IntegerMlp) -> onnx.ModelProto:
    """Return the ONNX form of an integer network; checked by onnx's own checker with shape inference."""
    names = _layer_names(len(network.layers))
    nodes = [
        helper.make_node("Flatten", [INPUT_NAME], ["pixels"], name="flatten", axis=1),
        _dequantize("pixels", "image_scale", "activation_zero"),
    ]
    source = "pixels"
    for name in names[:-1]:
        nodes += _layer(source, name, f"{name}_sum")
        nodes += _activation(name)
        source = f"{name}_quantized"
    nodes += _layer(source, names[-1], "logits")
    nodes.append(helper.make_node("Softmax", ["logits"], [OUTPUT_NAME], name="softmax", axis=1))
    image = helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, [BATCH_DIMENSION, IMAGE_SIDE, IMAGE_SIDE])
    probabilities = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [BATCH_DIMENSION, len(LABELS)])
    graph = helper.make_graph(nodes, "classifier", [image], [probabilities], _initializers(network, names))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="fmnist-edge"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _layer_names(count: int) -> list[str]:
    """Return the names of layers in the graph: hidden (numbered if there are several), output."""
    hidden = ["hidden"] if count == 2 else [f"hidden_{number}" for number in range(1, count)]
    return [*hidden, "output"]


def _layer(source: str, layer: str, target: str) -> list[onnx.NodeProto]:
    """Return a fully connected layer on a dequantized tensor, with its kernel and bias dequantized."""
    kernel, bias = f"{layer}_kernel", f"{layer}_bias"
    inputs = [f"{source}_dequantized", f"{kernel}_dequantized", f"{bias}_dequantized"]
    return [
        _dequantize(kernel, f"{kernel}_scale", f"{kernel}_zero", axis=1),
        _dequantize(bias, f"{bias}_scale", f"{bias}_zero", axis=0),
        helper.make_node("Gemm", inputs, [target], name=f"{layer}_gemm"),
    ]


def _activation(layer: str) -> list[onnx.NodeProto]:
    quantized = f"{layer}_quantized"
    return [
        helper.make_node("Relu", [f"{layer}_sum"], [layer], name=f"{layer}_relu"),
        helper.make_node(
            "QuantizeLinear", [layer, f"{layer}_scale", "activation_zero"], [quantized], name=f"{layer}_quantize"
        ),
        _dequantize(quantized, f"{layer}_scale", "activation_zero"),
    ]


def _dequantize(source: str, scale: str, zero: str, axis: int | None = None) -> onnx.NodeProto:
    attributes = {} if axis is None else {"axis": axis}
    return helper.make_node(
        "DequantizeLinear", [source, scale, zero], [f"{source}_dequantized"], name=f"{source}_dequantize", **attributes
    )


def _initializers(network: IntegerMlp, names: Sequence[str]) -> list[onnx.TensorProto]:
    """Return all constants of the graph, in alphabetical order."""
    arrays: dict[str, NDArray[np.generic]] = {
        "image_scale": np.asarray(IMAGE_SCALE),
        "activation_zero": np.asarray(0, np.uint8),
    }
    for name, layer in zip(names, network.layers, strict=True):
        arrays[f"{name}_kernel"] = layer.kernel.values
        arrays[f"{name}_kernel_scale"] = layer.kernel.scales
        arrays[f"{name}_kernel_zero"] = np.zeros(layer.bias.shape, np.int8)
        arrays[f"{name}_bias"] = layer.bias
        arrays[f"{name}_bias_scale"] = layer.steps
        arrays[f"{name}_bias_zero"] = np.zeros(layer.bias.shape, np.int32)
    for name, following in zip(names, network.layers[1:], strict=False):
        arrays[f"{name}_scale"] = np.asarray(following.input_scale)
    return [numpy_helper.from_array(arrays[name], name) for name in sorted(arrays)]
