"""The original as fp32 ONNX: uint8 images in, probabilities out, checked against the original at once."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fmnist_convert.dense_chain import attribute
from fmnist_convert.float_onnx import (
    Run,
    Session,
    constants_of,
    remove_dead_nodes,
    use_default_domain,
    with_constant_shapes,
    without_dead_nodes,
)
from fmnist_convert.input_form import InputForm
from fmnist_convert.original import Original
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import BATCH_DIMENSION, IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME
from fmnist_edge.onnx_reader import validate_content

LOWEST_OPSET: Final = 13  # with IR 7: loads from onnxruntime 1.8 on, exact from 1.11 on (measured up to 1.32)

OPSETS: Final = (LOWEST_OPSET, 15, 17, 18)  # tried in this order for what the lower ones cannot express
CHECKED_IMAGES: Final = 200
MAX_DIFFERENCE: Final = 1e-4  # of any probability, against the original
_QUANTIZED: Final = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger"}
    | {"ConvInteger"}
)


def export_fp32(original: Original) -> onnx.ModelProto:
    """Return the fp32 ONNX form of a classifier whose input form is known: uint8 `image` to float32 `probabilities`.

    Raises ModelError for what ONNX can't express, and if the graph doesn't answer as the original does.
    """
    if original.form is None:
        raise ValueError("the input form is not known: use with_measured_form first")
    core, index = original.graph, original.output_index
    if core is None:
        core, index = _trace(original), 0
    elif quantized := {node.op_type for node in core.graph.node} & _QUANTIZED:
        raise ModelError(
            f"{original.path} is quantized already ({', '.join(sorted(quantized))}): convert the float model"
        )
    model = _with_contract(core, original.form, original.output, index)
    model = with_constant_shapes(model, lambda probe: [*_run(probe, original.path, 2), *_run(probe, original.path, 3)])
    model = canonical(_lowered(model, lambda candidate: _run(candidate, original.path)))
    validate_content(
        model.SerializeToString(), original.path, "a loop, such as in some recurrent layers, can't run on every device"
    )
    _check(model, original)
    return model


def _trace(original: Original) -> onnx.ModelProto:
    """Return a Keras model or SavedModel as ONNX, with the input and output that it has itself.

    tf2onnx's `from_keras` fails on Sequential models of Keras 3, so the model is traced as a function.
    """
    from fmnist_convert.backend import keras, tf, tf2onnx

    assert original.form is not None
    signature = (tf.TensorSpec((None, *original.form.shape), original.dtype, name=INPUT_NAME),)

    def forward(image: Any) -> dict[str, Any]:
        answers = keras.tree.flatten(original.model(image, training=False))
        answer = answers[original.output_index]
        return {OUTPUT_NAME: tf.cast(answer, tf.float32) if answer.dtype != tf.float32 else answer}

    function = tf.function(forward, input_signature=signature, autograph=False)
    failures: list[Exception] = []
    for opset in OPSETS:
        try:
            exported, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=opset, custom_op_handlers={"Erfc": (_erfc, [])}
            )
            return exported
        except Exception as error:  # tf2onnx raises many types, onnx's checker among them
            failures.append(error)
    cause = next((line.strip() for line in str(failures[-1]).splitlines() if line.strip()), type(failures[-1]).__name__)
    raise ModelError(
        f"{original.path} can't be expressed in ONNX: {cause}; replace the layer that needs it"
    ) from failures[-1]


def _erfc(context: Any, node: Any, name: str, _args: Any) -> Any:
    """Write TensorFlow's Erfc (of gelu) as 1 - Erf, for tf2onnx, which has no rule for it."""
    node.type = "Erf"
    one = context.make_const(f"{name}_one", np.array(1, np.float32))
    made = node.output[0]
    consumers = context.find_output_consumers(made)
    difference = context.make_node("Sub", [one.output[0], made])
    for consumer in consumers:
        context.replace_input(consumer, made, difference.output[0])
    return node


def _images() -> NDArray[np.uint8]:
    """Return images that exercise a network, uint8 [200, 28, 28]: noise of every contrast, and blocks."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (CHECKED_IMAGES, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    noise = random.integers(0, 256, (CHECKED_IMAGES, IMAGE_SIDE, IMAGE_SIDE))
    share = np.linspace(0, 1, CHECKED_IMAGES)[:, None, None]
    return (blocks * share + noise * (1 - share)).astype(np.uint8)


def _run(model: onnx.ModelProto, path: Path, count: int = CHECKED_IMAGES) -> list[NDArray[Any]]:
    return Session(model, path).run(_images()[:count])


def _check(model: onnx.ModelProto, original: Original) -> None:
    """Raise ModelError unless the graph answers as the original does."""
    images, session = _images(), Session(model, original.path)
    alone = np.concatenate([session.run(images[at : at + 1])[0] for at in range(2)])
    found = np.concatenate([alone, session.run(images[2:])[0]])
    difference = float(np.abs(found - original.predict(images)).max())
    if not difference <= MAX_DIFFERENCE:
        raise ModelError(
            f"the ONNX form of {original.path} does not answer as the original does (a probability differs by "
            f"{difference:.2g}): please report this network"
        )


# Attributes that later opsets added, with the value that means what went before.
_LATER_ATTRIBUTES: Final = {"allowzero": 0, "training_mode": 0, "noop_with_empty_axes": 0, "ceil_mode": 0}
_REDUCTIONS: Final = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare")


def _with_contract(model: onnx.ModelProto, form: InputForm, output: str, index: int) -> onnx.ModelProto:
    """Return a copy that takes uint8 `image` [batch, 28, 28] and gives float32 `probabilities` [batch, 10].

    `form` is how the graph takes its images, `output` what it gives ("probabilities", "logits", "scores"), and `index`
    which of its outputs that is.
    """
    result = copy.deepcopy(model)
    graph = result.graph
    before = _Nodes(graph, "before")
    for node in graph.node:
        node.input[:], node.output[:] = map(_inner, node.input), map(_inner, node.output)
    for tensor in graph.initializer:
        tensor.name = _inner(tensor.name)
    rank = len(graph.output[index].type.tensor_type.shape.dim)
    if any(node.op_type == "Squeeze" and attribute(node, "axes", node.input[1:]) == [] for node in graph.node):
        rank = 0  # it also drops a batch of one
    given, made = _inner(graph.input[0].name), _inner(graph.output[index].name)
    nodes = list(_without_constant_nodes(graph))
    entry = _preprocessing(before, form)
    for node in nodes:
        node.input[:] = [entry if name == given else name for name in node.input]
    after = _Nodes(graph, "after")
    _probabilities(after, nodes, made, output, rank)
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend([*before.nodes, *nodes, *after.nodes])
    graph.input.append(
        helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, [BATCH_DIMENSION, IMAGE_SIDE, IMAGE_SIDE])
    )
    graph.output.append(helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [BATCH_DIMENSION, len(LABELS)]))
    return without_dead_nodes(result)


class _Nodes:
    """A chain of nodes that is being built, with its constants in the graph."""

    def __init__(self, graph: onnx.GraphProto, name: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._graph, self._name = graph, name

    def constant(self, value: NDArray[Any]) -> str:
        name = f"{self._name}/constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, *inputs: str, gives: str | None = None, **attributes: Any) -> str:
        output = gives or f"{self._name}/{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output


def _preprocessing(nodes: _Nodes, form: InputForm) -> str:
    """Add what turns `image` into a network's input form; return the name of the result."""
    value = INPUT_NAME
    if form.padding:
        value = nodes.add("Pad", value, nodes.constant(np.array([0, *[form.padding] * 2] * 2, np.int64)))
    if form.dtype != "uint8":
        value = nodes.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(form.dtype)))
    scale, offset = form.scale
    kind = np.dtype(form.dtype)
    if form.dtype == "uint8" and scale < 0:
        value = nodes.add("Sub", nodes.constant(np.array(255, np.uint8)), value)
    elif scale != 1.0 or offset:
        value = nodes.add("Mul", value, nodes.constant(np.array(scale, kind)))
        if offset:
            value = nodes.add("Add", value, nodes.constant(np.array(offset, kind)))
    side = IMAGE_SIDE + 2 * form.padding
    if form.channels_first is not None and 3 in form.shape:
        axis = 1 if form.channels_first else 3
        one = [-1, 1, side, side] if axis == 1 else [-1, side, side, 1]
        value = nodes.add("Reshape", value, nodes.constant(np.array(one, np.int64)))
        return nodes.add("Concat", value, value, value, axis=axis)
    if form.shape != (side, side):
        value = nodes.add("Reshape", value, nodes.constant(np.array([-1, *form.shape], np.int64)))
    return value


def _probabilities(after: _Nodes, nodes: list[onnx.NodeProto], made: str, output: str, rank: int) -> None:
    """Add what turns a network's output into `probabilities`."""
    value = made
    if rank != 2:
        value = after.add("Reshape", value, after.constant(np.array([-1, len(LABELS)], np.int64)))
    last = next((node for node in nodes if made in node.output), None)
    if output == "logits" and rank == 2 and last is not None and last.op_type == "LogSoftmax":
        last.op_type = "Softmax"  # the same without the logarithm
        output = "probabilities"
    if output == "logits":
        after.add("Softmax", value, gives=OUTPUT_NAME, axis=1)
    elif output == "scores":
        total = after.add("ReduceSum", value, after.constant(np.array([1], np.int64)), keepdims=1)
        after.add("Div", value, total, gives=OUTPUT_NAME)
    elif after.nodes or last is None or list(last.output).count(made) != 1 or any(made in node.input for node in nodes):
        after.add("Identity", value, gives=OUTPUT_NAME)
    else:
        last.output[:] = [OUTPUT_NAME if name == made else name for name in last.output]


def _without_constant_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that compute; the tensors of Constant nodes become initializers."""
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            yield node


def _inner(name: str) -> str:
    """Return another name for a tensor that has one of the contract's."""
    return f"inner/{name}" if name in (INPUT_NAME, OUTPUT_NAME) else name


def _lowered(model: onnx.ModelProto, run: Run) -> onnx.ModelProto:
    """Return a model of the lowest opset from 13 on in which it is valid and `run` gives the same outputs."""
    own = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    if own < LOWEST_OPSET:
        return _with_opset(onnx.version_converter.convert_version(model, LOWEST_OPSET), LOWEST_OPSET)
    expected = run(model) if own > LOWEST_OPSET else []
    for opset in range(LOWEST_OPSET, own):
        candidate = _with_opset(model, opset)
        try:
            onnx.checker.check_model(candidate, full_check=True)
            found = run(candidate)
        except Exception:  # checker and onnxruntime raise a dozen types: it is not valid in this opset
            continue
        if all(np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(found, expected, strict=True)):
            return candidate
    return _with_opset(model, own)


def _with_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a copy that claims another opset, without what later opsets added where it changes nothing."""
    result = copy.deepcopy(model)
    use_default_domain(result, opset)
    constants = constants_of(result.graph)
    for node in result.graph.node:
        exists = onnx.defs.has(node.op_type, opset, "")
        known = onnx.defs.get_schema(node.op_type, opset, "").attributes if exists else {}
        kept = [a for a in node.attribute if a.name in known or _LATER_ATTRIBUTES.get(a.name) != a.i]
        if node.op_type == "Reshape" and node.input[1] in constants and 0 not in constants[node.input[1]]:
            kept = [a for a in kept if a.name != "allowzero"]
        if opset < 18 and node.op_type in _REDUCTIONS and len(node.input) == 2 and node.input[1] in constants:
            kept.append(helper.make_attribute("axes", constants[node.input[1]].tolist()))
            del node.input[1:]
        del node.attribute[:]
        node.attribute.extend(kept)
    return without_dead_nodes(result)


def canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same graph with names, order and header that depend only on what it computes.

    tf2onnx numbers its names from a counter of the whole process; here a node is named by its operator and its place
    among those, a tensor by the node that makes it, an initializer by the node that reads it.
    """
    result = copy.deepcopy(model)
    graph = result.graph
    ordered = _in_order_of_use(graph)
    del graph.node[:]
    graph.node.extend(ordered)
    remove_dead_nodes(graph)
    names = _canonical_names(graph)
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        node.doc_string = ""
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    graph.initializer.sort(key=lambda tensor: tensor.name)
    del graph.value_info[:]
    _set_header(result)
    onnx.checker.check_model(result, full_check=True)
    return result


def _in_order_of_use(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs need, each behind those that it reads: tf2onnx's own order hangs on hashes."""
    makers = {name: node for node in graph.node for name in node.output}
    ordered: list[onnx.NodeProto] = []
    done: set[str] = set()
    waiting = [value.name for value in reversed(graph.output)]
    while waiting:
        node = makers.get(waiting[-1])
        missing = [] if node is None else [name for name in node.input if name in makers and name not in done]
        if missing and waiting[-1] not in done:
            waiting.extend(reversed(missing))
            continue
        if node is not None and waiting[-1] not in done:
            ordered.append(node)
            done.update(node.output)
        waiting.pop()
    return ordered


def _canonical_names(graph: onnx.GraphProto) -> dict[str, str]:
    """Name the nodes, and map every tensor's name to its canonical one; inputs and outputs keep theirs."""
    kept = [value.name for value in (*graph.input, *graph.output)]
    names = {"": "", **{name: name for name in kept}}
    counts: Counter[str] = Counter()
    for node in graph.node:
        counts[node.op_type] += 1
        node.name = f"{node.op_type}_{counts[node.op_type]}"
        for place, name in enumerate(node.input):
            names.setdefault(name, f"{node.name}.input_{place}")
        for place, name in enumerate(node.output):
            names.setdefault(name, node.name if place == 0 else f"{node.name}.output_{place}")
    return names


def _set_header(model: onnx.ModelProto) -> None:
    """Name the batch dimension, and forget who made the file and when."""
    use_default_domain(model)
    model.doc_string, model.graph.name, model.graph.doc_string = "", "classifier", ""
    del model.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH_DIMENSION
