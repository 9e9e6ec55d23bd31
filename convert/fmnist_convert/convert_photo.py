"""The conversion of a photo model: one Keras CNN in, one checked and stamped ONNX file out.

photo ─ resize ─ pad to a square ─ convolutions (int8) ─ feature map ─ a map for each class ─┬─ mean ─ probabilities
                                                                                              └─ the answer's map ─ saw

The network ends in global average pooling and one dense layer, so each class has a map (class activation mapping, Zhou
et al. 2016): the feature map times the class's weights. Its mean and the class's bias are the logit; no second pass is
needed to show what was seen.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.parser
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fmnist_convert.card import (
    PHOTO_CONTRACT,
    Conversion,
    PhotoAnswer,
    build_photo_vectors,
    describe,
    describe_graph,
    describe_static,
    int8_files,
)
from fmnist_convert.parity import Limits, Parity, Row, broken_float_limits, broken_limits, measure_parity
from fmnist_convert.progress import SILENT, Progress
from fmnist_convert.quantize import Pictures, StaticInt8, quantize_statically, run
from fmnist_edge.dataset import load_split
from fmnist_edge.errors import DataError, ModelError
from fmnist_edge.model_info import LABELS, OUTPUT_NAME, PHOTO_NAME, SAW_NAME
from fmnist_edge.pictures import Picture, accepted_matrix, hold_out, load_squares, read_collections

HELD_OUT_SHARE: Final = 8  # one group of training pictures in eight judges the int8 form; training keeps out the same
CALIBRATION_PICTURES: Final = 800
JUDGED_PICTURES: Final = 2_000
SIZE_LIMIT: Final = 420 * 1024  # bytes of the int8 file


def convert_photo_model(
    original: Any,
    *,
    collections: Sequence[Path],
    data: Path | None,
    name: str,
    model_version: str,
    limits: Limits,
    allow_worse: bool = False,
    progress: Progress = SILENT,
) -> Conversion:
    """Convert a photo model and measure it on the pictures' validation part; nothing is written yet.

    Only the training part decides on ranges and on what stays in float. Raises ModelError, DataError and GateError.
    """
    progress.step("fp32 graph")
    network = read_photo_network(original.model)
    fp32 = float_network(network)
    progress.step("reading training pictures")
    calibration, judging = _training_pictures(collections, network.side)
    broken = _broken_export(fp32, original.model, judging.inputs[:200])
    judged_by = _for_few(limits, len(judging.labels))
    int8 = quantize_statically(fp32, calibration, judging, judged_by, operators=QUANTIZED, progress=progress)
    progress.step("measuring on validation pictures")
    measured = _validation(collections, fp32, int8.model, network.side)
    parity = measured["validation, all"]
    broken += broken_limits("int8 on validation pictures", parity, _for_few(limits, parity.images))
    graph = photo_graph(int8.model, network)
    description = PHOTO_CONTRACT | describe(name, model_version, original.sha256, original.record)
    description |= _origin(original.record, int8, measured, limits) | describe_graph(graph, "int8")
    test = load_split("test", data)
    files = int8_files(graph, description, lambda sha256, content: build_photo_vectors(sha256, _answers(content), test))
    file, content = list(files.items())[-1]
    if len(content) > SIZE_LIMIT:
        broken.append(f"int8: {len(content):,} bytes, more than {SIZE_LIMIT:,}")
    rows = [Row(f"{name}.fp32.onnx (not written)", fp32.ByteSize(), None, parity.reference_accuracy)]
    rows += [Row(f"{file}, {title}", len(content), one, one.accuracy) for title, one in measured.items()]
    notes = [f"left in float, as int8 missed the gate: {', '.join(int8.kept_in_float)}"] if int8.kept_in_float else []
    return Conversion(rows, broken, {} if broken and not allow_worse else files, notes)


def _training_pictures(paths: Sequence[Path], side: int) -> tuple[NDArray[np.uint8], Pictures]:
    """Return calibration squares, and held-out ones with their accepted classes: every n-th of all pictures."""
    kept, out = hold_out(read_collections(paths, "train"), HELD_OUT_SHARE)
    if not kept or not out:
        raise DataError("no training pictures to calibrate a photo model on: name them with --pictures")
    judged = _spread(out, JUDGED_PICTURES)
    return load_squares(_spread(kept, CALIBRATION_PICTURES), side), _as_pictures(judged, side)


def _spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """Return at most `count` of the pictures, evenly spread."""
    places = np.unique(np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int))
    return [pictures[place] for place in places]


def _as_pictures(pictures: Sequence[Picture], side: int) -> Pictures:
    return Pictures(load_squares(pictures, side), accepted_matrix(pictures) > 0)


def _broken_export(fp32: onnx.ModelProto, model: Any, squares: NDArray[np.uint8]) -> list[str]:
    reference = np.asarray(model(squares, training=False), np.float32)
    labels = reference.argmax(axis=1)
    return broken_float_limits(measure_parity(run(fp32, squares), reference, labels))


def _validation(paths: Sequence[Path], fp32: onnx.ModelProto, int8: onnx.ModelProto, side: int) -> dict[str, Parity]:
    """Return the parity on each collection by its title, and last on all of them.

    Pictures of no garment have no right label and are left out.
    """
    pictures = [one for one in read_collections(paths, "validation") if one.accepted]
    if not pictures:
        raise DataError(
            "no validation pictures to measure the photo model on: name a collection with a validation/ part"
        )
    shown = _as_pictures(pictures, side)
    found, expected = (run(model, shown.inputs) for model in (int8, fp32))
    places = np.array([str(one.collection) for one in pictures])
    chosen = {f"validation, {Path(place).name}": places == place for place in np.unique(places)}
    chosen["validation, all"] = np.full(len(pictures), True)
    return {title: measure_parity(found[at], expected[at], shown.labels[at]) for title, at in chosen.items()}


def _for_few(limits: Limits, pictures: int) -> Limits:
    """Return the limits for so many pictures: a difference of two right answers proves nothing."""
    return replace(limits, max_drop=max(limits.max_drop, 2 / pictures))


def _origin(record: dict[str, Any], int8: StaticInt8, measured: dict[str, Parity], limits: Limits) -> dict[str, Any]:
    """Return what the metadata say of training, quantization and measurement."""
    calibration = f"{CALIBRATION_PICTURES} training pictures, evenly spread; judged on held-out groups of them"
    return {
        "unsure_below": float(record.get("unsure_below", 0.0)),
        "training_data": record.get("training_data", "not recorded"),
        "quantization": describe_static(calibration, int8.kept_in_float, int8.parity, QUANTIZED),
        "gate": asdict(limits),
        "measured": {
            title: one.figures() | {"fp32_accuracy": round(one.reference_accuracy, 4)}
            for title, one in measured.items()
        },
    }


def _answers(content: bytes) -> PhotoAnswer:
    """Return what a photo model answers: picture uint8 [height, width, 3] to probabilities [10] and saw."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def answer(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        probabilities, saw = session.run([OUTPUT_NAME, SAW_NAME], {PHOTO_NAME: picture})
        assert probabilities.shape == (1, len(LABELS))
        return probabilities[0], saw

    return answer


OPSET: Final = 18  # the first whose Resize has a filter against aliasing and axes; onnxruntime 1.14 has it
IR_VERSION: Final = 8
# The dense layer stays in float: its 1,290 numbers decide the answer, and the maps need them.
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

    features: Any  # Keras model: uint8 or float32 [batch, side, side, 3] to float32 [batch, rows, columns, channels]
    kernel: NDArray[np.float32]  # of the dense layer: float32 [channels, 10]
    bias: NDArray[np.float32]  # float32 [10]

    @property
    def side(self) -> int:
        """Of the square that the network sees, in pixels."""
        return int(self.features.input_shape[1])


def read_photo_network(model: Any) -> PhotoNetwork:
    """Split a Keras model after its feature map.

    Raises ModelError unless it maps RGB squares to ten probabilities, by global average pooling and one dense layer
    with softmax.
    """
    from fmnist_convert.backend import keras

    kinds, shape = keras.layers, tuple(model.input_shape)
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ModelError(f"a photo model takes RGB squares [batch, side, side, 3], not {list(shape)}: rebuild it so")
    *layers, dense = (one for one in model.layers if not isinstance(one, kinds.Dropout))
    scaled = []  # by the temperature of the softmax; reading a file puts a Rescaling by 1 in the place of a Dropout
    while layers and isinstance(layers[-1], kinds.Rescaling):
        scaled.append(layers.pop())
    pooling: Any = layers[-1] if layers else None
    is_head = isinstance(pooling, kinds.GlobalAveragePooling2D) and isinstance(dense, kinds.Dense)
    if not is_head or dense.units != len(LABELS) or dense.activation is not keras.activations.softmax:
        raise ModelError(
            "a photo model ends in GlobalAveragePooling2D and Dense(10, activation='softmax'), which this one doesn't: "
            "rebuild it so, or train one with `fmnist-edge train --recipe photo`"
        )
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
    """Return by how many pixels a cell of the feature map sees lower and further right than its place in the map.

    A convolution with stride 2 and padding "same" pads an even side only at its end, and so moves what a cell sees by
    half a step; 0 where the padding is symmetric.
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
    result = copy.deepcopy(core)
    for value in (*result.graph.input, *result.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del result.graph.value_info[:]
    return result
