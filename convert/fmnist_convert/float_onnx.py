"""Opening an .onnx file that another tool made, such as PyTorch's exporter, and running it within limits."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fmnist_convert.input_form import PIXELS, InputForm, plausible_shapes
from fmnist_convert.original import Original, finished, several_inputs, ten_classes
from fmnist_convert.validation import Kind
from fmnist_edge.classifier import Classifier
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import BATCH_DIMENSION, IMAGE_SIDE, INPUT_NAME, OUTPUT_NAME
from fmnist_edge.onnx_reader import MAX_MODEL_BYTES, model_bytes, validate_content
from fmnist_edge.session import limit_memory, session_options

LOWEST_IR: Final = 7  # from 4 on, weights need not be inputs

Run = Callable[[onnx.ModelProto], list[NDArray[Any]]]

SECONDS: Final = 60.0  # for one batch; a network for 28x28 pixels takes a hundredth
BATCH_VALUES: Final = 16 * 2**20  # of one batch, in the largest tensor: 64 MB
LARGEST_BATCH: Final = 500
_ADVICE: Final = "export the plain network, in evaluation mode and in float32, into one .onnx file"
_SAME: Final = 1e-4  # of a graph with a free batch dimension against the graph as it was


def open_onnx(path: Path, kind: Kind, sha256: str, form_name: str | None) -> Original:
    """Validate and open an .onnx file. Raises ModelError."""
    model = _read(path)
    if _keeps_contract(model):
        answer = Classifier(path).predict
        form = InputForm("0..255", (IMAGE_SIDE, IMAGE_SIDE), "uint8")
        return Original(path, kind, sha256, {}, (28, 28), "uint8", answer, graph=model, form=form)
    given, dtype = _input(model, path)
    shape, batch = given[1:], given[0]
    session = Session(model, path)
    probes = plausible_shapes(shape) or [tuple(side or 1 for side in shape)]
    outputs, found = _first_answers(session, probes, dtype, batch or 2, path)
    shapes = [output.shape if output.ndim > 1 else (1, *output.shape) for output in outputs]  # a squeezed batch of one
    index = ten_classes(path, shapes)
    free = _with_free_batch(model, session, path, batch, found, dtype, index)
    runner, size = Session(free, path, optimized=True), _largest_batch(free)

    def answer_in_batches(images: NDArray[Any]) -> NDArray[np.float32]:
        parts = [runner.run(images[at : at + size])[index] for at in range(0, len(images), size)]
        return np.concatenate(parts).reshape(len(images), -1).astype(np.float32)

    declared = found if any(side is None for side in shape) else tuple(shape)
    original = Original(path, kind, sha256, {}, declared, dtype, answer_in_batches, graph=free, output_index=index)
    return finished(original, form_name)


def _read(path: Path) -> onnx.ModelProto:
    """Return a validated .onnx model, with its weights from a separate file. Raises ModelError."""
    content = model_bytes(path)
    unknown = f"{path} is not a model of a known kind: give a .keras, .h5 or .onnx file, or a SavedModel folder"
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError, which is untyped
        raise ModelError(unknown) from error
    if not model.graph.node:
        raise ModelError(unknown)
    tensors = [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    if tensors:
        _take_in(tensors, path)
        content = model.SerializeToString()
    if len(model.functions):
        model = onnx.inliner.inline_local_functions(model) if len(model.functions) < 200 else model
        content = model.SerializeToString()
    validate_content(content, path, _ADVICE)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain == "ai.onnx":
            node.domain = ""
    return without_weight_inputs(model)


def _take_in(tensors: list[Any], path: Path) -> None:
    """Read weights from separate files in the same folder, as PyTorch's exporter writes them, into the model."""
    total = 0
    for tensor in tensors:
        entry = {one.key: one.value for one in tensor.external_data}
        name = entry.get("location", "")
        file = path.parent / name
        if not name or Path(name).name != name or name in (".", ".."):
            raise ModelError(f"{path} is not run: its weights are in another folder ({name!r}); {_ADVICE}")
        if not file.is_file() or file.is_symlink():
            raise ModelError(f"{path} keeps its weights in {name!r}, which has to be beside it: copy both files")
        offset, size = int(entry.get("offset", 0)), int(entry.get("length", file.stat().st_size))
        total += size
        if total > MAX_MODEL_BYTES or offset < 0 or size < 0:
            limit = f"{MAX_MODEL_BYTES >> 20} MiB of weights, which no network for these images needs"
            raise ModelError(f"{path} has more than {limit}; {_ADVICE}")
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(size)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


class Session:
    """A graph in onnxruntime, in bounded memory and time."""

    def __init__(self, model: onnx.ModelProto, path: Path, *, optimized: bool = False) -> None:
        """Open a graph; optimizing one that never ran could itself take for ever."""
        self._path = path
        self.input_name = model.graph.input[0].name
        options = session_options(os.cpu_count() or 1)
        limit_memory(options)
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen types of its own, with no common base
            raise ModelError(f"{path} can't be loaded by onnxruntime: {_line(error)}; {_ADVICE}") from error

    def run(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """Return all outputs for a batch in the graph's own form. Raises ModelError after SECONDS."""
        options = onnxruntime.RunOptions()
        timer = threading.Timer(SECONDS, lambda: setattr(options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, {self.input_name: images}, options)
            return outputs
        except Exception as error:
            raise ModelError(f"{self._path} can't be run: {_line(error)}; {_ADVICE}") from error
        finally:
            timer.cancel()


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _keeps_contract(model: onnx.ModelProto) -> bool:
    given = [(value.name, value.type.tensor_type.elem_type) for value in model.graph.input]
    labelled = any(entry.key == "labels" for entry in model.metadata_props)
    made = [value.name for value in model.graph.output]
    return labelled and given == [(INPUT_NAME, TensorProto.UINT8)] and made == [OUTPUT_NAME]


def _input(model: onnx.ModelProto, path: Path) -> tuple[tuple[int | None, ...], str]:
    """Return shape (with the batch) and dtype of the only input. Raises ModelError."""
    inputs = list(model.graph.input)
    if len(inputs) != 1:
        raise ModelError(several_inputs(path, [value.name for value in inputs]))
    kind, dtypes = inputs[0].type.tensor_type, {TensorProto.UINT8: "uint8", TensorProto.DOUBLE: "float64"}
    dtype = {TensorProto.FLOAT: "float32", **dtypes}.get(kind.elem_type)
    if dtype is None:
        name = TensorProto.DataType.Name(kind.elem_type).lower()
        raise ModelError(f"{path} takes images of the type {name}: {_ADVICE}")
    shape = tuple(dim.dim_value or None for dim in kind.shape.dim)
    if len(shape) < 2:
        raise ModelError(f"{path} takes {list(shape)}, which is not a batch of images: {_ADVICE}")
    return shape, dtype


def _first_answers(
    session: Session, shapes: list[tuple[int, ...]], dtype: str, batch: int, path: Path
) -> tuple[list[NDArray[Any]], tuple[int, ...]]:
    """Run a model once; return its outputs and the shape of an image that it took."""
    refused: ModelError | None = None
    for shape in shapes:
        try:
            return session.run(np.zeros((batch, *shape), dtype)), shape
        except ModelError as error:
            refused = refused or error
    raise refused or ModelError(f"{path} takes no image")


def _with_free_batch(
    model: onnx.ModelProto,
    session: Session,
    path: Path,
    batch: int | None,
    shape: tuple[int, ...],
    dtype: str,
    index: int,
) -> onnx.ModelProto:
    """Return a graph that takes any number of images, checked against the file as it is. Raises ModelError."""
    free = with_free_batch(model, batch)
    images = (np.random.default_rng(0).random((batch or 6, *shape)) * (255 if dtype == "uint8" else 1)).astype(dtype)
    expected = session.run(images)[index].reshape(len(images), -1)

    def run(probe: onnx.ModelProto) -> list[NDArray[Any]]:
        opened = Session(probe, path)
        return [output for count in (2, 3) for output in opened.run(np.resize(images, (count, *shape)).astype(dtype))]

    what = "each image's answer depends on the others" if batch is None else f"it is built for batches of {batch}"
    refused = ModelError(
        f"{path} can't be given a free batch dimension: {what}. Export it with "
        "dynamic_axes={'input': {0: 'batch'}, 'output': {0: 'batch'}} and in evaluation mode"
    )
    try:
        free = with_constant_shapes(free, run)
        runner = Session(free, path)
        found = [runner.run(part)[index] for part in (np.concatenate([images, images]), images[:1])]
    except ModelError as error:
        raise refused from error
    for answers, right in zip(found, (np.concatenate([expected, expected]), expected[:1]), strict=True):
        if answers.size != right.size or not np.allclose(answers.reshape(right.shape), right, rtol=_SAME, atol=_SAME):
            raise refused
    return free


def _largest_batch(model: onnx.ModelProto) -> int:
    """Return how many images fit into a batch of BATCH_VALUES."""
    try:
        values = onnx.shape_inference.infer_shapes(model).graph.value_info
    except Exception:  # its errors have no common base; it only tells a size
        return 1
    shapes = [[dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim[1:]] for value in values]
    return max(1, min(LARGEST_BATCH, BATCH_VALUES // max(map(prod, shapes), default=PIXELS)))


def without_weight_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose inputs are those that a caller gives: IR 3 listed the weights as well."""
    result = copy.deepcopy(model)
    stored = {tensor.name for tensor in result.graph.initializer}
    kept = [value for value in result.graph.input if value.name not in stored]
    del result.graph.input[:]
    result.graph.input.extend(kept)
    result.ir_version = max(result.ir_version, LOWEST_IR)
    return result


def constants_of(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """Return all constants of a graph by name, initializers and Constant nodes."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def with_free_batch(model: onnx.ModelProto, batch: int | None) -> onnx.ModelProto:
    """Return a copy whose first dimension is free, where it was fixed to `batch` images (None: it was free)."""
    result = copy.deepcopy(model)
    graph = result.graph
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = BATCH_DIMENSION
    for value in graph.output:  # shape inference finds again what a fixed batch determined
        for dim in value.type.tensor_type.shape.dim[1:]:
            if not dim.dim_value:
                dim.Clear()
    del graph.value_info[:]
    constants = constants_of(graph) if batch is not None else {}
    for node in _reshapes_of_images(graph):
        shape = constants.get(node.input[1])
        if shape is not None and len(shape) and shape[0] == batch:
            _set_shape(graph, node, shape)
    return result


def with_constant_shapes(model: onnx.ModelProto, run: Run) -> onnx.ModelProto:
    """Return a copy whose Reshape nodes name their shapes, where PyTorch computes them from the batch's size.

    `run` runs a model on batches of two and of three images and returns its outputs, first all of two.
    """
    graph = model.graph
    constants = constants_of(graph)
    computed = [node for node in _reshapes_of_images(graph) if node.input[1] not in constants]
    if not computed:
        return model
    probe = copy.deepcopy(model)
    del probe.graph.output[:]
    names = list(dict.fromkeys(node.input[1] for node in computed))
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in names)
    values = run(probe)
    result = copy.deepcopy(model)
    for name, two, three in zip(names, values[: len(names)], values[len(names) :], strict=True):
        if two.shape == three.shape and (two[0], three[0]) == (2, 3) and (two[1:] == three[1:]).all():
            for node in result.graph.node:
                if node.op_type == "Reshape" and node.input[1] == name:
                    _set_shape(result.graph, node, two)
    return without_dead_nodes(result)


def _reshapes_of_images(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the Reshape nodes that depend on the input."""
    reached = {value.name for value in graph.input}
    for node in graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            if node.op_type == "Reshape" and node.input[0] in reached:
                yield node


def _set_shape(graph: onnx.GraphProto, node: onnx.NodeProto, shape: NDArray[Any]) -> None:
    """Give a Reshape node a constant shape whose first side follows the batch: 0 copies it, -1 is what is left."""
    rest = shape[1:].tolist()
    free = np.array([0 if -1 in rest else -1, *rest], np.int64)
    node.input[1] = f"{node.output[0]}.shape"
    graph.initializer.append(numpy_helper.from_array(free, node.input[1]))
    kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
    del node.attribute[:]
    node.attribute.extend(kept)


def use_default_domain(model: onnx.ModelProto, opset: int | None = None) -> None:
    """Import only the default domain, with the lowest IR version of its opset, and name this tool as producer."""
    opset = opset or next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    model.ir_version = max(LOWEST_IR, helper.find_min_ir_version_for(model.opset_import))
    model.producer_name, model.producer_version = "fmnist-edge", ""


def without_dead_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy without nodes and initializers that no output needs."""
    result = copy.deepcopy(model)
    remove_dead_nodes(result.graph)
    return result


def remove_dead_nodes(graph: onnx.GraphProto) -> None:
    """Drop nodes and initializers that no output needs."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors)
