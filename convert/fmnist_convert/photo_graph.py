"""The photo model's graph: a photo of any size in; probabilities, and where their answer was seen, out.

photo ─ resize ─ pad to a square ─ convolutions (int8) ─ feature map ─ a map for each class ─┬─ mean ─ probabilities
                                                                                              └─ the answer's map ─ saw

The network ends in global average pooling and one dense layer, so each class has a map (class activation mapping, Zhou
et al. 2016): the feature map times the class's weights. Its mean and the class's bias are the logit; no second pass is
needed to show what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnx.compose
import onnx.parser
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fmnist_edge.contract import LABELS, OUTPUT_NAME
from fmnist_edge.errors import ModelError

OPSET: Final = 18  # the first whose Resize has a filter against aliasing and axes; onnxruntime 1.14 has it
IR_VERSION: Final = 8
# The dense layer stays in float: its 1,290 numbers decide the answer, and the maps need them anyway.
QUANTIZED: Final = ("Conv", "MaxPool", "AveragePool", "Relu", "Clip", "Pad", "Concat", "Reshape", "Transpose")
PIXELS: Final = "pixels"  # uint8 [batch, side, side, 3]: the photo as the network sees it

# Sizes are whole numbers throughout, so that every runtime computes the same ones: half up, never 0.
_SQUARE: Final = """
<ir_version: 8, opset_import: ["" : 18]>
square (uint8[height, width, 3] photo) => (uint8[1, SIDE, SIDE, 3] pixels, int64[2] before, int64[2] after)
<int64[1] one = {1}, int64[1] two = {2}, int64[1] side = {SIDE}, int64[1] twice = {TWICE},
 int64[4] shape = {1, SIDE, SIDE, 3}, int64[2] axes = {0, 1}>
{
  size = Shape <start: int = 0, end: int = 2> (photo)
  long = ReduceMax <keepdims: int = 1> (size)
  doubled = Mul (size, twice)
  raised = Add (doubled, long)
  twice_long = Mul (long, two)
  quotient = Div (raised, twice_long)
  scaled_size = Max (quotient, one)
  scaled = Resize <mode = "linear", antialias: int = 1, axes: ints = [0, 1]> (photo, , , scaled_size)
  margin = Sub (side, scaled_size)
  before = Div (margin, two)
  behind = Sub (margin, before)
  pads = Concat <axis: int = 0> (before, behind)
  padded = Pad <mode = "edge"> (scaled, pads, , axes)
  pixels = Reshape (padded, shape)
  after = Add (before, scaled_size)
}
"""
# From the maps of all classes to what was seen, cut to the photo's part of the square. A cell before the first of each
# row and column, where nothing was seen, lets the map be moved to where its cells look (`map_shift`) and fade there.
_SAW: Final = """
<ir_version: 8, opset_import: ["" : 18]>
seen (float[1, POSITIONS, 10] maps, float[1, 10] probabilities, int64[2] before, int64[2] after)
  => (float[rows, columns] saw)
<float least = {1e-9}, int64[4] map_shape = {1, 1, ROWS, COLUMNS}, int64[4] large_shape = {1, 1, LARGE, LARGE},
 int64[2] plane_shape = {LARGE, LARGE}, int64[2] plane = {0, 1}, int64[8] cell = {0, 0, 1, 1, 0, 0, 0, 0},
 int64[1] start = {START}>
{
  best = ArgMax <axis: int = 1, keepdims: int = 0> (probabilities)
  map = Gather <axis: int = 2> (maps, best)
  positive = Relu (map)
  highest = ReduceMax <keepdims: int = 0> (positive)
  divisor = Max (highest, least)
  share = Div (positive, divisor)
  small = Reshape (share, map_shape)
  extended = Pad (small, cell)
  enlarged = Resize <mode = "linear"> (extended, , , large_shape)
  whole = Reshape (enlarged, plane_shape)
  first = Add (before, start)
  last = Add (after, start)
  saw = Slice (whole, first, last, plane)
}
"""


@dataclass(frozen=True)
class PhotoNetwork:
    """A Keras CNN in its two parts."""

    features: Any
    """Keras model: uint8 or float32 [batch, side, side, 3] to float32 [batch, rows, columns, channels]"""
    kernel: NDArray[np.float32]
    """Of the dense layer: float32 [channels, 10]"""
    bias: NDArray[np.float32]
    """float32 [10]"""

    @property
    def side(self) -> int:
        """Of the square that the network sees, in pixels."""
        return int(self.features.input_shape[1])


def read_photo_network(model: Any) -> PhotoNetwork:
    """Take a Keras model apart behind its feature map.

    Raises ModelError if it does not map RGB squares to ten probabilities, by global average pooling and one dense layer
    with softmax.
    """
    from fmnist_convert.backend import keras

    kinds, shape = keras.layers, tuple(model.input_shape)
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ModelError(f"a photo model takes RGB squares [batch, side, side, 3], not {list(shape)}")
    *layers, dense = (one for one in model.layers if not isinstance(one, kinds.Dropout))
    scaled = []  # by the temperature of the softmax; reading a file puts a Rescaling by 1 in the place of a Dropout
    while layers and isinstance(layers[-1], kinds.Rescaling):
        scaled.append(layers.pop())
    pooling: Any = layers[-1] if layers else None
    is_head = isinstance(pooling, kinds.GlobalAveragePooling2D) and isinstance(dense, kinds.Dense)
    if not is_head or dense.units != len(LABELS) or dense.activation is not keras.activations.softmax:
        raise ModelError("a photo model ends in GlobalAveragePooling2D and Dense(10, activation='softmax')")
    kernel = np.asarray(dense.kernel, np.float64)
    bias = np.asarray(dense.bias, np.float64) if dense.use_bias else np.zeros(len(LABELS))
    for one in scaled:
        bias = bias + np.broadcast_to(one.offset, len(kernel)) @ kernel
        kernel = kernel * np.broadcast_to(one.scale, len(kernel))[:, None]
    features = keras.Model(model.input, pooling.input)
    return PhotoNetwork(features, kernel.astype(np.float32), bias.astype(np.float32))


def float_network(network: PhotoNetwork) -> onnx.ModelProto:
    """Return the network as fp32 ONNX: `pixels` uint8 [batch, side, side, 3] to `probabilities` float32 [batch, 10].

    Its second output, `maps`, is float32 [batch, positions, 10], the map of each class.
    """
    from fmnist_convert.backend import tf, tf2onnx

    side = network.side
    signature = (tf.TensorSpec((None, side, side, 3), tf.uint8, name=PIXELS),)
    kind = network.features.inputs[0].dtype

    def forward(pixels: Any) -> dict[str, Any]:
        return {"features": network.features(tf.cast(pixels, kind), training=False)}

    function = tf.function(forward, input_signature=signature, autograph=False)
    exported, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    return _with_head(exported, network)


def _with_head(features: onnx.ModelProto, network: PhotoNetwork) -> onnx.ModelProto:
    """Put pooling, dense layer and softmax behind a graph that gives the feature map."""
    _, rows, columns, channels = network.features.output_shape
    graph = features.graph
    shape = numpy_helper.from_array(np.array([-1, rows * columns, channels]), "head_shape")
    axis = numpy_helper.from_array(np.array([1]), "head_axis")
    kernel, bias = (numpy_helper.from_array(*pair) for pair in ((network.kernel, "kernel"), (network.bias, "bias")))
    graph.initializer.extend([shape, axis, kernel, bias])
    graph.node.extend(
        [
            helper.make_node("Reshape", ["features", "head_shape"], ["positions"]),
            helper.make_node("MatMul", ["positions", "kernel"], ["maps"], name="maps"),
            helper.make_node("ReduceMean", ["maps", "head_axis"], ["means"], keepdims=0),
            helper.make_node("Add", ["means", "bias"], ["logits"], name="logits"),
            helper.make_node("Softmax", ["logits"], [OUTPUT_NAME], axis=1),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["batch", len(LABELS)]))
    graph.output.append(
        helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", rows * columns, len(LABELS)])
    )
    return features


def photo_graph(core: onnx.ModelProto, network: PhotoNetwork) -> onnx.ModelProto:
    """Return the whole graph around the network's fp32 or int8 form: photo in, probabilities and `saw` out."""
    _, rows, columns, _ = network.features.output_shape
    numbers = {"TWICE": 2 * network.side, "SIDE": network.side}
    numbers |= {"POSITIONS": rows * columns, "ROWS": rows, "COLUMNS": columns}
    cell = network.side // rows
    numbers |= {"LARGE": network.side + cell, "START": cell - map_shift(network.features)}
    front, back = (onnx.parser.parse_model(_filled(text, numbers)) for text in (_SQUARE, _SAW))
    middle = _with_batch_of_one(core)
    graph = helper.make_graph(
        [*front.graph.node, *middle.graph.node, *back.graph.node],
        "photo",
        list(front.graph.input),
        [middle.graph.output[0], back.graph.output[0]],
        [*front.graph.initializer, *middle.graph.initializer, *back.graph.initializer],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="fmnist-edge"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def map_shift(features: Any) -> int:
    """Return how many pixels lower and further right a cell of the feature map looks than where it lies in the map.

    A convolution with stride 2 and padding "same" pads an even side at its end alone, so that each moves what a cell
    sees by half of a step; 0 where the padding is symmetric.
    """
    side, step, centre = int(features.input_shape[1]), 1, 0.0
    for layer in features.layers:
        size = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
        if size is None:
            continue
        stride = layer.strides[0]
        over = max((-(-side // stride) - 1) * stride + size[0] - side, 0) if layer.padding == "same" else 0
        centre += step * ((size[0] - 1) / 2 - over // 2)
        side, step = (side + over - size[0]) // stride + 1, step * stride
    return max(0, round(centre - (step - 1) / 2))


def _filled(text: str, numbers: dict[str, int]) -> str:
    for name, number in numbers.items():
        text = text.replace(name, str(number))
    return text


def _with_batch_of_one(core: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network for a single picture; its maps are float32 [positions, 10]."""
    result = onnx.ModelProto()
    result.CopyFrom(core)
    for value in (*result.graph.input, *result.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del result.graph.value_info[:]
    return result
