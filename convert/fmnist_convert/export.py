"""Keras to fp32 ONNX, by tf2onnx, with names that do not depend on what was converted before."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import onnx

from fmnist_edge.contract import BATCH_DIMENSION, IMAGE_SIDE, INPUT_NAME, OUTPUT_NAME

OPSET: Final = 13  # with IR 7: loads from onnxruntime 1.8 on, exact from 1.11 on (measured up to 1.32)
IR_VERSION: Final = 7


def export_fp32(model: Any) -> onnx.ModelProto:
    """Return the fp32 ONNX form of a Keras classifier: uint8 `image` in, float32 `probabilities` out.

    tf2onnx's `from_keras` fails on Sequential models of Keras 3, so the model is traced as a function.
    """
    from fmnist_convert.backend import tf, tf2onnx

    signature = (tf.TensorSpec((None, IMAGE_SIDE, IMAGE_SIDE), tf.uint8, name=INPUT_NAME),)

    def forward(image: Any) -> dict[str, Any]:
        return {OUTPUT_NAME: model(image, training=False)}

    function = tf.function(forward, input_signature=signature, autograph=False)
    exported, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    return canonical(exported)


def canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same graph with names, order of initializers and header that depend on the graph alone.

    tf2onnx numbers its names from a counter of the whole process; here a node is named by its operator and
    its place among those, a tensor by the node that makes it, an initializer by the node that reads it.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    names = _canonical_names(graph)
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        node.name = names[node.name]
        node.doc_string = ""
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    ordered = sorted(graph.initializer, key=lambda tensor: tensor.name)
    del graph.initializer[:]
    graph.initializer.extend(ordered)
    del graph.value_info[:]
    _set_header(result)
    onnx.checker.check_model(result, full_check=True)
    return result


def _canonical_names(graph: onnx.GraphProto) -> dict[str, str]:
    """Map every node's and tensor's name to its canonical one; inputs and outputs keep theirs."""
    kept = [value.name for value in (*graph.input, *graph.output)]
    names = {"": "", **{name: name for name in kept}}
    counts: Counter[str] = Counter()
    for node in graph.node:
        counts[node.op_type] += 1
        node_name = f"{node.op_type}_{counts[node.op_type]}"
        for place, name in enumerate(node.input):
            names.setdefault(name, f"{node_name}.input_{place}")
        for place, name in enumerate(node.output):
            names.setdefault(name, node_name if place == 0 else f"{node_name}.output_{place}")
        names[node.name] = node_name
    return names


def _set_header(model: onnx.ModelProto) -> None:
    """Pin the versions, name the batch dimension, and forget who made the file and when."""
    model.ir_version = IR_VERSION
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    model.producer_name, model.producer_version, model.doc_string = "fmnist-edge", "", ""
    model.graph.name, model.graph.doc_string = "classifier", ""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH_DIMENSION
