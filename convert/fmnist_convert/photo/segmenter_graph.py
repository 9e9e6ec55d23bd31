"""The segmenter as graph steps, in fp32 or in int8 (QDQ form), from a Keras functional model.

Tensors are float32 [1, channels, height, width]. In int8 each activation is quantized to uint8 with the range that
training recorded for its layer, and each kernel to int8 within +-64 with a scale for each output channel: two
products of 64 * 255 fit into the 16-bit pair sums of CPUs without VNNI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.photo.builder import GraphBuilder, Value
from fmnist_convert.rounding import round_scale
from fmnist_edge.errors import ModelError

KERNEL_LIMIT: Final = 64
Ranges = Mapping[str, tuple[float, float]]
"""Layer name to the smallest and largest activation that is to be kept."""


@dataclass(frozen=True)
class Precision:
    """How activations and kernels are stored: as they are, or quantized within the given ranges."""

    ranges: Ranges | None = None

    def kernel(self, g: GraphBuilder, kernel: NDArray[np.float32]) -> Value:
        """Return a convolution kernel, float32 [out, in, height, width], as a graph value."""
        if self.ranges is None:
            return g.operand(kernel)
        scales = round_scale(np.maximum(np.abs(kernel).max(axis=(1, 2, 3)) / KERNEL_LIMIT, 1e-12)).astype(np.float32)
        integers = np.rint(kernel / scales[:, None, None, None]).astype(np.int8)
        return g.add("DequantizeLinear", integers, scales, np.zeros(len(scales), np.int8), axis=0)

    def activation(self, g: GraphBuilder, value: Value, layer: str) -> Value:
        """Return an activation after the rounding that storing it as uint8 means."""
        if self.ranges is None:
            return value
        low, high = min(self.ranges[layer][0], 0.0), max(self.ranges[layer][1], 1e-6)
        scale = np.float32(round_scale((high - low) / 255))
        zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
        return g.add("DequantizeLinear", g.add("QuantizeLinear", value, scale, zero), scale, zero)


def segment(g: GraphBuilder, thumbnail: Value, model: Any, precision: Precision) -> Value:
    """Return mask logits, float32 [side, side], of a thumbnail, float32 [side, side, 3] in 0..255.

    Raises ModelError if the Keras model has a layer that is not one of a segmenter.
    """
    side = int(model.input_shape[1])
    channels_first = g.add("Transpose", g.reshape(thumbnail, 1, side, side, 3), perm=[0, 3, 1, 2])
    values: dict[int, Value] = {id(model.inputs[0]): channels_first}
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        step = _STEPS.get(type(layer).__name__)
        if step is None:
            raise ModelError(f"a segmenter has no layer like '{layer.name}' ({type(layer).__name__})")
        values[id(layer.output)] = step(g, layer, [values[id(tensor)] for tensor in inputs], precision)
    return values[id(model.outputs[0])]


def _rescale(g: GraphBuilder, layer: Any, inputs: list[Value], precision: Precision) -> Value:
    scaled = g.add("Add", g.add("Mul", inputs[0], float(layer.scale)), float(layer.offset))
    return precision.activation(g, scaled, layer.name)


def _convolve(g: GraphBuilder, layer: Any, inputs: list[Value], precision: Precision) -> Value:
    """Add a convolution; the rounding of its result waits for the ReLU behind it, where there is one."""
    kernel, bias = (np.asarray(weight, np.float32) for weight in layer.get_weights())
    height, width = (int(side) for side in layer.kernel_size)
    pads = _same_padding(int(layer.input.shape[1]), height, int(layer.strides[0]))
    result = g.add(
        "Conv",
        inputs[0],
        precision.kernel(g, np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))),
        bias,
        kernel_shape=[height, width],
        strides=list(layer.strides),
        pads=[pads[0], pads[0], pads[1], pads[1]],
    )
    follower = layer.name.replace("_conv", "_relu")
    waits = follower != layer.name or layer.name not in (precision.ranges or {})
    return result if waits else precision.activation(g, result, layer.name)


def _same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's 'same' padding before and after: the odd pixel goes behind."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def _relu(g: GraphBuilder, layer: Any, inputs: list[Value], precision: Precision) -> Value:
    return precision.activation(g, g.add("Relu", inputs[0]), layer.name)


def _max_pool(g: GraphBuilder, layer: Any, inputs: list[Value], precision: Precision) -> Value:
    size = list(layer.pool_size)
    return precision.activation(g, g.add("MaxPool", inputs[0], kernel_shape=size, strides=size), _before(layer))


def _grow(g: GraphBuilder, layer: Any, inputs: list[Value], precision: Precision) -> Value:
    scales = np.array([1, 1, *layer.size], np.float32)
    grown = g.add(
        "Resize",
        inputs[0],
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return precision.activation(g, grown, _before(layer))


def _add(g: GraphBuilder, layer: Any, inputs: list[Value], precision: Precision) -> Value:
    return precision.activation(g, g.add("Add", *inputs), layer.name)


def _unfold(g: GraphBuilder, layer: Any, inputs: list[Value], _precision: Precision) -> Value:
    """Turn four channels into a plane of twice the side, where the last of Keras's three layers for it stands."""
    if len(layer.output.shape) != 3:
        return inputs[0]
    unfolded = g.add("DepthToSpace", inputs[0], blocksize=2, mode="DCR")
    return g.reshape(unfolded, int(layer.output.shape[1]), int(layer.output.shape[2]))


def _before(layer: Any) -> str:
    """Return the name of the layer that made a layer's input: pooling and growing keep its range."""
    return str(layer.input._keras_history.operation.name)


_STEPS: Final[dict[str, Callable[[GraphBuilder, Any, list[Value], Precision], Value]]] = {
    "Rescaling": _rescale,
    "Conv2D": _convolve,
    "ReLU": _relu,
    "MaxPooling2D": _max_pool,
    "UpSampling2D": _grow,
    "Add": _add,
    "Reshape": _unfold,
    "Permute": _unfold,
}
