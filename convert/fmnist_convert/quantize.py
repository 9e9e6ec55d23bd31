"""int8 for any network: onnxruntime's static quantizer, with accuracy control.

uint8 activations in ranges from training images, int8 weights with a scale for each output channel. Weights stay within
-64..64 (`reduce_range`): x86 CPUs without VNNI add products in pairs in a saturating 16-bit integer, and for any two
weights 2 * 64 * 255 = 32,640 fits. Where the result misses its limits on validation images, the tensors that cost most
stay in float, as few as it takes.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from fmnist_convert.dense_chain import attribute
from fmnist_convert.float_onnx import remove_dead_nodes, use_default_domain
from fmnist_convert.parity import Limits, Parity, broken_limits, measure_parity, predict_all
from fmnist_convert.progress import SILENT, Progress
from fmnist_edge.errors import GateError

WEIGHTED: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What is computed on integers; whatever is not named (softmax, sigmoid, gelu, ...) stays in float.
QUANTIZED: Final = (
    *WEIGHTED,
    *("Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Relu"),
    *("Flatten", "Pad", "Reshape", "Squeeze", "Transpose", "Unsqueeze"),
)
# Share of each limit that may be used up on validation images, so that other images hold the whole limit: with 5,000
# images and 1.5 % of labels changed, a standard error is 0.17 points.
SAFETY: Final = 0.8
MOST_IN_FLOAT: Final = 0.5  # of all weights: with more in float, it would not be an int8 file
RANKING_IMAGES: Final = 1_000  # of the validation images, for ranking the tensors by what they cost
BATCH: Final = 250
SINGLES: Final = 25  # images that are run alone
BATCH_DIFFERENCE: Final = 1e-5  # of a probability, alone and in a batch: float sums in another order
ACTIVATIONS: Final = ("Relu", "Clip")
SCALINGS: Final = ("Cast", "Mul", "Add", "Sub", "Div")
MOVES: Final = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze")  # the same numbers in another shape
HALF_A_LEVEL: Final = 0.501  # as far as rounding moves a level anyway


@dataclass(frozen=True)
class Pictures:
    """Inputs of a network with what they show."""

    inputs: NDArray[np.uint8]  # uint8 [n, ...], in the form of the network's input
    labels: NDArray[Any]  # true classes, integers [n], or accepted ones, bool [n, 10]


@dataclass(frozen=True)
class StaticInt8:
    """A quantized model, and what accuracy control did to it."""

    model: onnx.ModelProto
    kept_in_float: tuple[str, ...]
    """Names of the tensors that were left in float: "output of Conv_1", "weights of Gemm_2"."""
    parity: Parity  # against fp32, on the validation images


def quantize_statically(
    fp32: onnx.ModelProto,
    calibration: NDArray[np.uint8],
    validation: Pictures,
    limits: Limits,
    *,
    operators: Sequence[str] = QUANTIZED,
    progress: Progress = SILENT,
) -> StaticInt8:
    """Quantize a model with one uint8 input and probabilities float32 [n, 10] as its first output.

    `calibration` are inputs like those of `validation`; both must come from training data. Only `operators` are
    computed on integers. Raises GateError if the limits hold with no part of the network in int8.
    """
    with tempfile.TemporaryDirectory() as folder:
        quantizer = _Quantizer(fp32, calibration, operators, Path(folder))
        comparison = _Comparison(quantizer, validation, limits.tightened(SAFETY), progress)
        found = comparison.measure(())
        if found.broken:
            found = _least_kept_in_float(comparison, quantizer.candidates, found.broken)
        return found.result


@dataclass(frozen=True)
class _Candidate:
    result: StaticInt8
    broken: list[str]


def _least_kept_in_float(comparison: _Comparison, candidates: list[str], broken: list[str]) -> _Candidate:
    """Return the first result that holds as tensors go back to float, those that cost most first."""
    costs = comparison.costs(candidates)
    kept: tuple[str, ...] = ()
    for name in sorted(candidates, key=lambda name: costs[name]):
        if comparison.float_share((*kept, name)) > MOST_IN_FLOAT:
            continue
        kept = (*kept, name)
        found = comparison.measure(kept)
        if not found.broken:
            return _without_needless(comparison, found)
        broken = found.broken
    raise GateError(f"no int8 form holds the limits on validation images: {'; '.join(broken)}")


def _without_needless(comparison: _Comparison, found: _Candidate) -> _Candidate:
    """Return a result that holds with every tensor back in int8 that need not be in float."""
    for name in found.result.kept_in_float[:-1]:
        fewer = comparison.measure(tuple(one for one in found.result.kept_in_float if one != name))
        found = found if fewer.broken else fewer
    return found


class _Comparison:
    """Measures quantized forms of one network against its float form."""

    def __init__(self, quantizer: _Quantizer, validation: Pictures, limits: Limits, progress: Progress) -> None:
        self._quantizer, self._validation, self._limits, self._progress = quantizer, validation, limits, progress
        progress.step("fp32 on validation images")
        self._reference = run(quantizer.prepared, validation.inputs, progress)

    def measure(self, kept: tuple[str, ...]) -> _Candidate:
        """Measure the form with some tensors left in float."""
        self._progress.step(f"int8 on validation images, in float: {', '.join(kept) or 'nothing'}")
        model = self._quantizer.quantize(kept)
        found = run(model, self._validation.inputs, self._progress)
        parity = measure_parity(found, self._reference, self._validation.labels)
        broken = broken_limits("int8", parity, self._limits)
        if kept and batch_difference(model, self._validation.inputs, found) > BATCH_DIFFERENCE:
            broken.append("an image alone gets another answer than in a batch")
        return _Candidate(StaticInt8(model, kept, parity), broken)

    def float_share(self, kept: Collection[str]) -> float:
        """Return the share of all weights, 0..1, that are in float with these tensors."""
        sizes = self._quantizer.sizes
        return sum(sizes.get(name, 0) for name in kept) / max(1, sum(sizes.values()))

    def costs(self, candidates: list[str]) -> dict[str, float]:
        """Return the mean difference of probabilities that stays with each tensor left in float."""
        self._progress.step("what each tensor costs")
        inputs, reference = self._validation.inputs[:RANKING_IMAGES], self._reference[:RANKING_IMAGES]
        costs = {}
        for number, name in enumerate(candidates):
            self._progress.count(number, len(candidates))
            found = run(self._quantizer.quantize((name,)), inputs)
            costs[name] = float(np.abs(found - reference).mean())
        self._progress.count(len(candidates), len(candidates))
        return costs


class _Quantizer:
    """onnxruntime's quantizer, run once on a prepared network; single tensors are then taken back to float."""

    def __init__(
        self, fp32: onnx.ModelProto, calibration: NDArray[np.uint8], operators: Sequence[str], folder: Path
    ) -> None:
        self.prepared = _prepared(fp32, folder)
        source, output = folder / "prepared.onnx", folder / "quantized.onnx"
        onnx.save(self.prepared, source)
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)  # it reports each bias it meets, and that it was not run by its own command
        try:
            quantize_static(
                source,
                output,
                _Reader(self.prepared.graph.input[0].name, calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(operators),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"QDQKeepRemovableActivations": True},  # a tensor left in float still needs its ReLU
            )
        finally:
            logging.disable(level)
        self._quantized = onnx.load(output)
        use_default_domain(self._quantized)
        _round_once(self._quantized.graph)
        _float_logits(self._quantized.graph)
        remove_dead_nodes(self._quantized.graph)
        self._ways = _ways_to_float(self._quantized.graph, self.prepared.graph)

    @property
    def sizes(self) -> dict[str, int]:
        """Return how many numbers each tensor of weights has, by its name for people."""
        constants = {tensor.name: tensor for tensor in self.prepared.graph.initializer}
        exact = {name: next(iter(way.values())) for name, way in self._ways.items()}
        return {name: int(np.prod(constants[one].dims)) for name, one in exact.items() if one in constants}

    @property
    def candidates(self) -> list[str]:
        """Return the names of all rounded tensors, in the order of the graph."""
        return list(self._ways)

    def quantize(self, kept_in_float: Collection[str]) -> onnx.ModelProto:
        """Return the QDQ form with the named tensors left in float; default-domain operators only."""
        model = copy.deepcopy(self._quantized)
        constants = {tensor.name: tensor for tensor in self.prepared.graph.initializer}
        known = {tensor.name for tensor in model.graph.initializer}
        for name in kept_in_float:
            for rounded, exact in self._ways[name].items():
                for node in model.graph.node:
                    node.input[:] = [exact if one == rounded else one for one in node.input]
                if exact in constants and exact not in known:
                    model.graph.initializer.append(constants[exact])
        _finish(model)
        return model


def _round_once(graph: onnx.GraphProto) -> None:
    """Remove the rounding between an operator and its activation: onnxruntime computes both in one step."""
    pairs = _rounded_tensors(graph)
    for node in graph.node:
        if node.op_type in ACTIVATIONS and node.input[0] in pairs:
            node.input[0] = pairs[node.input[0]].input[0]


def _ways_to_float(graph: onnx.GraphProto, prepared: onnx.GraphProto) -> dict[str, dict[str, str]]:
    """Return, for each tensor by a name for people, which rounded tensors to replace by which exact ones.

    Tensors that only move the same numbers (pooling, reshaping) share a scale, and go together.
    """
    makers = {node.output[0]: node for node in prepared.node}
    constants = {tensor.name for tensor in prepared.initializer}
    groups: dict[str, dict[str, str]] = {}
    names: dict[str, str] = {}
    readers = {name: node.name for node in reversed(prepared.node) for name in node.input}
    for rounded, quantize in _rounded_tensors(graph).items():
        exact, scale = quantize.input[0], quantize.input[1]
        maker = makers.get(exact)
        if maker is not None and maker.op_type in ACTIVATIONS:
            maker = makers.get(maker.input[0], maker)
        names.setdefault(scale, f"output of {maker.name}" if maker else "input")
        groups.setdefault(scale, {})[rounded] = exact
    for node in graph.node:
        weights = node.input[0].removesuffix("_quantized") if node.op_type == "DequantizeLinear" else ""
        if weights in constants and "_bias" not in node.input[1] and node.output[0] != weights:
            names[node.output[0]] = f"weights of {readers[weights]}"
            groups[node.output[0]] = {node.output[0]: weights}
    return {names[key]: groups[key] for key in groups}


def _rounded_tensors(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return the activations behind a pair of QuantizeLinear and DequantizeLinear, with the former node."""
    quantizes = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    return {
        node.output[0]: quantizes[node.input[0]]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in quantizes
    }


class _Reader(CalibrationDataReader):
    """Hands out calibration inputs in batches."""

    def __init__(self, name: str, inputs: NDArray[np.uint8]) -> None:
        self._feeds = ({name: inputs[start : start + BATCH]} for start in range(0, len(inputs), BATCH))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch by input name, or None at the end."""
        return next(self._feeds, None)


def run(
    model: onnx.ModelProto, inputs: NDArray[np.uint8], progress: Progress = SILENT, batch: int = BATCH
) -> NDArray[np.float32]:
    """Return the first output, float32 [n, 10], for uint8 inputs [n, ...], run `batch` at a time."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return predict_all(lambda part: session.run(None, {name: part})[0], inputs, progress, batch)


def batch_difference(model: onnx.ModelProto, inputs: NDArray[np.uint8], together: NDArray[np.float32]) -> float:
    """Return the largest difference that running inputs alone makes to a probability, on the first few of them."""
    return float(np.abs(run(model, inputs[:SINGLES], batch=1) - together[:SINGLES]).max())


def _prepared(fp32: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return the graph as the quantizer wants it: constants and batch normalization folded, nodes named by operator."""
    given, optimized = folder / "fp32.onnx", folder / "optimized.onnx"
    onnx.save(fp32, given)
    quant_pre_process(given, optimized, skip_symbolic_shape=True)
    model = onnx.load(optimized)
    use_default_domain(model)
    pool_globally(model.graph)
    counts: Counter[str] = Counter()
    for node in model.graph.node:
        counts[node.op_type] += 1
        node.name = f"{node.op_type}_{counts[node.op_type]}"
    return model


def _finish(model: onnx.ModelProto) -> None:
    """Bring a model to the file's final form: the image straight into the integers, no trace of how it was made."""
    graph = model.graph
    _feed_directly(graph)
    remove_dead_nodes(graph)
    graph.initializer.sort(key=lambda tensor: tensor.name)
    del graph.value_info[:], model.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)


def pool_globally(graph: onnx.GraphProto) -> None:
    """Replace Transpose to NHWC and the mean over height and width, as tf2onnx writes it, by GlobalAveragePool."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        before = makers.get(node.input[0]) if node.op_type == "ReduceMean" else None
        if before is None or before.op_type != "Transpose" or attribute(before, "perm", None) != [0, 2, 3, 1]:
            continue
        axes = attribute(node, "axes", None)
        if axes is None and len(node.input) > 1 and node.input[1] in constants:
            axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
        if axes is None or sorted(axis % 4 for axis in axes) != [1, 2] or attribute(node, "keepdims", None) == 1:
            continue
        pooled = f"{node.output[0]}_pooled"
        place = list(graph.node).index(node)
        graph.node.insert(place, helper.make_node("GlobalAveragePool", [before.input[0]], [pooled]))
        node.CopyFrom(helper.make_node("Flatten", [pooled], list(node.output), axis=1))
    remove_dead_nodes(graph)


def _float_logits(graph: onnx.GraphProto) -> None:
    """Remove the rounding of what leads to an output or a softmax: above all the logits."""
    pairs, outputs = _rounded_tensors(graph), {value.name for value in graph.output}
    for node in graph.node:
        if node.op_type == "Softmax" or outputs & set(node.output):
            node.input[:] = [pairs[name].input[0] if name in pairs else name for name in node.input]


def _feed_directly(graph: onnx.GraphProto) -> None:
    """Let the uint8 input be its own quantized form where the network only scales and shifts it.

    Levels 0..255 times a factor, quantized over their whole range, are the levels themselves; the zero point of an
    offset is rounded, as in any quantization.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    value, factor, offset = graph.input[0].name, 1.0, 0.0
    moves: list[onnx.NodeProto] = []
    while len(following := readers.get(value, [])) == 1 and following[0].op_type in (*MOVES, *SCALINGS):
        node = following[0]
        if node.op_type in MOVES:
            moves.append(node)
        elif node.op_type != "Cast":
            number = constants.get(node.input[1], np.zeros(2))
            if node.input[0] != value or number.size != 1:
                return
            factor, offset = _scaled(node.op_type, float(number.item()), factor, offset)
        value = node.output[0]
    if len(following) != 1 or following[0].op_type != "QuantizeLinear":
        return
    scale, zero = (float(constants[name].item()) for name in following[0].input[1:3])
    levels = np.arange(256)
    if np.abs((levels * factor + offset) / scale + zero - levels).max() > HALF_A_LEVEL:
        return
    value = graph.input[0].name
    for node in (*moves, *readers[following[0].output[0]]):
        node.input[0] = value
        value = node.output[0] if node.op_type in MOVES else value


def _scaled(operator: str, number: float, factor: float, offset: float) -> tuple[float, float]:
    """Return factor and offset behind one more operation with a number."""
    match operator:
        case "Mul":
            return factor * number, offset * number
        case "Div":
            return factor / number, offset / number
        case "Add":
            return factor, offset + number
        case _:
            return factor, offset - number
