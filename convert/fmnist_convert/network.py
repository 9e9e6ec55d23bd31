"""The numbers of the network, as plain arrays: what quantization works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from fmnist_edge.contract import IMAGE_SIDE, LABELS
from fmnist_edge.errors import ModelError

Float64 = NDArray[np.float64]
PIXELS = IMAGE_SIDE * IMAGE_SIDE


@dataclass(frozen=True)
class Network:
    """A perceptron with one hidden layer: logits = relu(x/255 @ hidden_kernel + hidden_bias) @ kernel + bias."""

    hidden_kernel: Float64
    """float64 [784, units]"""
    hidden_bias: Float64
    """float64 [units]"""
    kernel: Float64
    """float64 [units, 10]"""
    bias: Float64
    """float64 [10]"""

    def hidden(self, images: NDArray[np.uint8]) -> Float64:
        """Return the hidden activations, float64 [n, units], of uint8 [n, 28, 28] images."""
        scaled = images.reshape(-1, PIXELS).astype(np.float64) / 255
        return np.maximum(scaled @ self.hidden_kernel + self.hidden_bias, 0)

    def logits(self, images: NDArray[np.uint8]) -> Float64:
        """Return the logits, float64 [n, 10], of uint8 [n, 28, 28] images."""
        return self.hidden(images) @ self.kernel + self.bias


def read_network(model: onnx.ModelProto) -> Network:
    """Take kernels and biases out of an exported fp32 classifier.

    Raises ModelError if the graph is no perceptron with one hidden layer of ReLU units on 784 pixels.
    """
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    operators = [node.op_type for node in model.graph.node if node.op_type in ("MatMul", "Relu", "Softmax")]
    kernels = [tensors[n.input[1]] for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in tensors]
    biases = [
        tensors[n.input[1]]
        for n in model.graph.node
        if n.op_type == "Add" and n.input[1] in tensors and tensors[n.input[1]].ndim == 1
    ]
    shapes = [array.shape for array in (*kernels, *biases)]
    units = shapes[0][1] if shapes and len(shapes[0]) == 2 else 0
    expected = [(PIXELS, units), (units, len(LABELS)), (units,), (len(LABELS),)]
    if operators != ["MatMul", "Relu", "MatMul", "Softmax"] or shapes != expected:
        raise ModelError(
            "only a network of 784 pixels, one ReLU layer and ten softmax outputs can be quantized here; "
            f"this one has {operators} with arrays {shapes}"
        )
    wide = [array.astype(np.float64) for array in (*kernels, *biases)]
    return Network(wide[0], wide[2], wide[1], wide[3])
