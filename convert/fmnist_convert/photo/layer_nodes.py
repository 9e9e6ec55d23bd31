"""What a Keras layer of the segmenter is as an ONNX node, where that does not depend on the arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.photo.builder import GraphBuilder, Value


def kernel_and_bias(layer: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a convolution's weights in ONNX's order: float32 [out, in, height, width] and [out]."""
    kernel, bias = (np.asarray(weight, np.float32) for weight in layer.get_weights())
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), bias


def convolution_attributes(layer: Any) -> dict[str, Any]:
    """Return a convolution's ONNX attributes; TensorFlow's 'same' padding puts the odd pixel behind."""
    kernel = [int(side) for side in layer.kernel_size]
    side, stride = int(layer.input.shape[1]), int(layer.strides[0])
    total = max((-(-side // stride) - 1) * stride + kernel[0] - side, 0)
    before, after = total // 2, total - total // 2
    return {"kernel_shape": kernel, "strides": [stride, stride], "pads": [before, before, after, after]}


def pooled(g: GraphBuilder, layer: Any, value: Value) -> Value:
    """Keep the largest of each group of cells."""
    size = list(layer.pool_size)
    return g.add("MaxPool", value, kernel_shape=size, strides=size)


def grown(g: GraphBuilder, layer: Any, value: Value) -> Value:
    """Repeat each cell in both directions."""
    scales = np.array([1, 1, *layer.size], np.float32)
    where = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return g.add("Resize", value, "", scales, **where)


def unfolded(g: GraphBuilder, layer: Any, value: Value) -> Value:
    """Turn four channels into a plane of twice the side, at the last of the three Keras layers that mean this."""
    if len(layer.output.shape) != 3:
        return value
    plane = g.add("DepthToSpace", value, blocksize=2, mode="DCR")
    return g.reshape(plane, int(layer.output.shape[1]), int(layer.output.shape[2]))
