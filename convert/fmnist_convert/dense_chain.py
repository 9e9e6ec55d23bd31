"""Dense chains: reading the float numbers of a perceptron of any width and depth from its fp32 graph.

Only affine operations may stand between two ReLU layers: dense layers, their biases, batch normalization, scalings of
the input or of the logits. They are folded into one kernel and one bias a layer. A graph with any other operation is
no dense chain, and onnxruntime's quantizer takes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fmnist_edge.model_info import IMAGE_SIDE, LABELS

Float64 = NDArray[np.float64]

PIXELS: Final = IMAGE_SIDE * IMAGE_SIDE
LEVELS: Final = 255  # grey levels of a pixel: the first layer's inputs are levels / 255
FACTOR_255: Final = float(np.float32(1 / 255))  # what "divide by 255" becomes in float32; 1/255 is what is meant


@dataclass(frozen=True)
class Dense:
    """One layer: x @ kernel + bias."""

    kernel: Float64  # float64 [inputs, outputs]
    bias: Float64  # float64 [outputs]


@dataclass(frozen=True)
class DenseChain:
    """A perceptron: dense layers with ReLU between them. Its input is grey levels / 255, its output logits."""

    layers: tuple[Dense, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Of input, hidden layers and output."""
        return (PIXELS, *(len(layer.bias) for layer in self.layers))

    def hidden(self, images: NDArray[np.uint8]) -> list[Float64]:
        """Return the activations of each hidden layer, float64 [n, units], of uint8 [n, 28, 28] images."""
        values, found = scaled_pixels(images), []
        for layer in self.layers[:-1]:
            values = np.maximum(values @ layer.kernel + layer.bias, 0)
            found.append(values)
        return found

    def logits(self, images: NDArray[np.uint8]) -> Float64:
        """Return the logits, float64 [n, 10], of uint8 [n, 28, 28] images."""
        inputs = [scaled_pixels(images), *self.hidden(images)][-1]
        return inputs @ self.layers[-1].kernel + self.layers[-1].bias


def scaled_pixels(images: NDArray[np.uint8]) -> Float64:
    """Return uint8 [n, 28, 28] images as float64 [n, 784] in 0..1."""
    return images.reshape(-1, PIXELS).astype(np.float64) / LEVELS


def read_dense_chain(model: onnx.ModelProto) -> DenseChain | None:
    """Return the dense chain that an fp32 classifier is, or None if it has any operation that no dense chain has.

    The graph maps `image` uint8 [batch, 28, 28] to `probabilities` [batch, 10].
    """
    state = _State((IMAGE_SIDE, IMAGE_SIDE), np.float64(LEVELS), np.float64(0))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    value = model.graph.input[0].name
    layers: list[Dense] = []
    for node in model.graph.node:
        if value not in node.input or len(node.output) != 1:
            return None
        if node.op_type == "Softmax":
            return _finished(layers, state) if _ends(model, node) else None
        following = _behind_relu(state, layers) if node.op_type == "Relu" else _follow(state, node, value, constants)
        if following is None:
            return None
        state, value = following, node.output[0]
    return None


@dataclass(frozen=True)
class _State:
    """An affine function of the layer's inputs x: factor * x + offset, or x @ kernel + offset behind a dense layer."""

    shape: tuple[int, ...]  # of the tensor, without the batch
    factor: Any  # float64, a number or of the shape of the tensor; unused where there is a kernel
    offset: Any  # the same; float64 [outputs] where there is a kernel
    kernel: Float64 | None = None  # float64 [inputs, outputs]

    def scaled(self, factor: Any) -> _State:
        if self.kernel is None:
            return replace(self, factor=self.factor * factor, offset=self.offset * factor)
        return replace(self, kernel=self.kernel * factor, offset=self.offset * factor)

    def moved(self, offset: Any) -> _State:
        return replace(self, offset=self.offset + offset)

    def multiplied(self, kernel: Float64) -> _State:
        if self.kernel is not None:
            return replace(self, shape=kernel.shape[1:], offset=self.offset @ kernel, kernel=self.kernel @ kernel)
        factor, offset = (np.broadcast_to(each, self.shape).ravel() for each in (self.factor, self.offset))
        whole = kernel if np.all(factor == 1) else factor[:, None] * kernel
        return _State(kernel.shape[1:], np.float64(1), offset @ kernel, whole)

    def layer(self) -> Dense:
        assert self.kernel is not None
        return Dense(self.kernel, np.array(np.broadcast_to(self.offset, self.kernel.shape[1:])))


def _behind_relu(state: _State, layers: list[Dense]) -> _State | None:
    """Add the layer that a ReLU ends to `layers`; return the state behind it, or None if there was no dense layer."""
    if state.kernel is None:
        return None
    layers.append(state.layer())
    return _State((len(layers[-1].bias),), np.float64(1), np.float64(0))


def _follow(state: _State, node: onnx.NodeProto, value: str, constants: dict[str, NDArray[Any]]) -> _State | None:
    """Return the state behind one affine operation, or None if it is none."""
    others = [constants.get(name) for name in node.input if name not in (value, "")]
    if any(other is None for other in others):
        return None
    match node.op_type:
        case "Identity" | "Dropout":
            return state
        case "Cast":
            return state if attribute(node, "to", None) in (TensorProto.FLOAT, TensorProto.DOUBLE) else None
        case "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze":
            return _reshaped(state, node, others)
        case "Mul" | "Div" | "Add" | "Sub" if len(others) == 1:
            return _elementwise(state, node, value, _for_shape(others[0], state.shape))
        case "MatMul" if len(others) == 1 and node.input[0] == value:
            return _product(state, others[0])
        case "Gemm" if others and node.input[0] == value and not attribute(node, "transA", 0):
            return _gemm(state, node, others)
        case "BatchNormalization" if len(others) == 4 and not attribute(node, "training_mode", 0):
            return _normalized(state, node, others)
    return None


def _reshaped(state: _State, node: onnx.NodeProto, others: list[Any]) -> _State | None:
    """Return the state behind an operation that keeps the order of numbers and the batch in front."""
    size = int(np.prod(state.shape))
    shape: tuple[int, ...] | None
    match node.op_type:
        case "Flatten":
            shape = (size,) if attribute(node, "axis", 1) == 1 else None
        case "Reshape":
            wanted = others[0].tolist()
            known = int(np.prod([side for side in wanted[1:] if side > 0]))
            sides = [size // known if side == -1 else side for side in wanted[1:]]
            shape = tuple(sides) if wanted and wanted[0] in (-1, 0) and np.prod(sides) == size else None
        case "Squeeze":
            axes = others[0].tolist() if others else []
            kept = [side for axis, side in enumerate(state.shape, 1) if axis not in axes]
            shape = tuple(kept) if axes and min(axes) > 0 and np.prod(kept) == size else None
        case _:
            axes = sorted(others[0].tolist())
            sides = list(state.shape)
            for axis in axes:
                sides.insert(axis - 1, 1)
            shape = tuple(sides) if axes and axes[0] > 0 else None
    if shape is None:
        return None
    if state.kernel is not None:
        return replace(state, shape=shape) if shape == state.shape else None
    factor, offset = (np.broadcast_to(each, state.shape).reshape(shape) for each in (state.factor, state.offset))
    if np.all(state.factor == 1) and np.all(state.offset == 0):
        return replace(state, shape=shape, factor=np.float64(1), offset=np.float64(0))
    return replace(state, shape=shape, factor=factor, offset=offset)


def _for_shape(other: Any, shape: tuple[int, ...]) -> Float64 | None:
    """Return a constant as it meets a tensor of a shape (without the batch), or None where that would change it."""
    wide = np.asarray(other, np.float64)
    if wide.ndim > len(shape):
        if wide.shape[0] != 1 or wide.ndim != len(shape) + 1:
            return None
        wide = wide[0]
    try:
        fits = np.broadcast_shapes(wide.shape, shape) == shape
    except ValueError:
        return None
    return wide if fits else None


def _elementwise(state: _State, node: onnx.NodeProto, value: str, other: Float64 | None) -> _State | None:
    if other is None:
        return None
    first = node.input[0] == value
    match node.op_type:
        case "Mul":
            return state.scaled(np.where(other == FACTOR_255, 1 / LEVELS, other))
        case "Add":
            return state.moved(other)
        case "Sub":
            return state.moved(-other) if first else state.scaled(-1.0).moved(other)
        case _:
            return state.scaled(1 / other) if first else None


def _product(state: _State, kernel: Any) -> _State | None:
    if len(state.shape) != 1 or kernel.ndim != 2 or kernel.shape[0] != state.shape[0]:
        return None
    return state.multiplied(kernel.astype(np.float64))


def _gemm(state: _State, node: onnx.NodeProto, others: list[Any]) -> _State | None:
    kernel = others[0].T if attribute(node, "transB", 0) else others[0]
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    result = _product(state, kernel if alpha == 1 else kernel.astype(np.float64) * alpha)
    if result is None or len(others) == 1:
        return result
    bias = _for_shape(others[1], result.shape)
    return None if bias is None else result.moved(bias if beta == 1 else bias * beta)


def _normalized(state: _State, node: onnx.NodeProto, others: list[Any]) -> _State | None:
    if len(state.shape) != 1:
        return None
    gamma, beta, mean, variance = (each.astype(np.float64) for each in others)
    factor = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    return state.scaled(factor).moved(beta - mean * factor)


def _ends(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Tell whether a Softmax is the graph's last operation, over the classes."""
    last = model.graph.node[-1].output[0] == node.output[0] == model.graph.output[0].name
    return bool(last and attribute(node, "axis", -1) in (-1, 1))


def _finished(layers: list[Dense], state: _State) -> DenseChain | None:
    """Return the chain with its last layer, or None if its ends are not 784 pixels and ten classes."""
    if state.kernel is None or state.kernel.shape[1] != len(LABELS):
        return None
    layers.append(state.layer())
    return DenseChain(tuple(layers)) if layers[0].kernel.shape[0] == PIXELS else None


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return an attribute of a node, or `default` if it doesn't have it."""
    return next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)
