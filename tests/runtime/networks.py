"""Networks from strangers: small ones that keep the contract of the classifier, and such that abuse it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx

from fmnist_edge import LABELS


def constant(name: str, values: Any) -> Any:
    return onnx.numpy_helper.from_array(np.asarray(values), name)


CONSTANTS = (constant("one", [1]), constant("ten", [1, 10]), constant("tenth", np.float32(0.1)))


def nodes_with(*between: Any, last: str = "e") -> list[Any]:
    """Return the nodes of a small network that keeps the contract: a tenth for each class, whatever it is shown."""
    node = onnx.helper.make_node
    return [
        node("Cast", ["image"], ["f"], to=1),
        node("ReduceMean", ["f"], ["m"], axes=[1, 2], keepdims=0),
        node("Sub", ["m", "m"], ["zero"]),
        node("Add", ["zero", "tenth"], ["t"]),
        node("Unsqueeze", ["t", "one"], ["u"]),
        node("Expand", ["u", "ten"], ["e"]),
        *between,
        node("Identity", [last], ["probabilities"]),
    ]


def model_of(nodes: list[Any], *constants: Any, labels: Any = LABELS, **options: Any) -> Any:
    uint8, float32 = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "stranger",
        [onnx.helper.make_tensor_value_info("image", uint8, ["batch", 28, 28])],
        [onnx.helper.make_tensor_value_info("probabilities", float32, ["batch", 10])],
        [*CONSTANTS, *constants],
    )
    options.setdefault("opset_imports", [onnx.helper.make_opsetid("", 13)])
    model = onnx.helper.make_model(graph, ir_version=7, **options)
    entry = model.metadata_props.add()
    entry.key, entry.value = "labels", json.dumps(list(labels))
    return model


def outside(location: str) -> Any:
    """A model whose weights lie in another file."""
    tensor = onnx.TensorProto(name="weights", data_type=1, dims=[10], data_location=1)
    for key, value in (("location", location), ("length", "40")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model_of(nodes_with(onnx.helper.make_node("Add", ["e", "weights"], ["a"]), last="a"), tensor)


def subgraph() -> Any:
    """The body of a loop that goes on for ever."""
    info, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    return onnx.helper.make_graph(
        [node("Identity", ["goes_on"], ["goes_on_again"]), node("Identity", ["v"], ["w"])],
        "body",
        [info("i", 7, []), info("goes_on", 9, []), info("v", 1, None)],
        [info("goes_on_again", 9, []), info("w", 1, None)],
    )


def shaped(*shape: float, operator: str = "Reshape", of: str = "e") -> Any:
    """A network that answers in a shape which onnxruntime cannot foresee: it is computed."""
    node = onnx.helper.make_node
    nodes = [
        node("ReduceSum", ["zero"], ["nothing"], keepdims=0),
        node("Add", ["nothing", "wanted"], ["floats"]),
        node("Cast", ["floats"], ["shape"], to=7),
        node(operator, [of, "shape"], ["x"]),
    ]
    return model_of(nodes_with(*nodes, last="x"), constant("wanted", np.array(shape, np.float32)))


def always_two() -> Any:
    """A network that gives two answers, however many images there are."""
    return shaped(2, 10, operator="Expand", of="tenth")


def photo_model(*, seen: str = "grey", outputs: tuple[str, ...] = ("probabilities", "saw")) -> Any:
    """A photo model that gives a tenth to each class and saw what is bright; `seen` names what it returns as saw."""
    node = onnx.helper.make_node
    nodes = [
        node("Cast", ["photo"], ["f"], to=1),
        node("ReduceMean", ["f"], ["mean"], axes=[2], keepdims=0),
        node("Div", ["mean", "white"], ["grey"]),
        node("Slice", ["grey", "nothing", "nothing"], ["empty"]),
        node("Expand", ["tenth", "ten"], ["probabilities"]),
        node("Identity", [seen], ["saw"]),
    ]
    shapes = {"probabilities": [1, 10], "saw": ["rows", "columns"]}
    graph = onnx.helper.make_graph(
        nodes,
        "photo",
        [onnx.helper.make_tensor_value_info("photo", onnx.TensorProto.UINT8, ["height", "width", 3])],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes[name]) for name in outputs],
        [*CONSTANTS, constant("white", np.float32(255)), constant("nothing", np.int64([0, 0]))],
    )
    model = onnx.helper.make_model(graph, ir_version=7, opset_imports=[onnx.helper.make_opsetid("", 13)])
    for key, value in (("labels", json.dumps(list(LABELS))), ("unsure_below", "0.5")):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return model
