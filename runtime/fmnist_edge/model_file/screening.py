"""What of a model file is refused before onnxruntime sees it: all that could read other files, run for ever, or take
memory that the file does not account for.

The contracts need none of it. Numbers of fields are those of onnx.proto (github.com/onnx/onnx). As protobuf has it, a
message that comes twice is one message: so all occurrences are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Final

from fmnist_edge.errors import ModelError
from fmnist_edge.model_file.protobuf import Fields, fields_of, iterate_fields

# The shipped models have 0.1 and 0.35 MB, 12 and 516 nodes. A network for 28x28 pixels has no need for more than this.
MAX_MODEL_BYTES: Final = 64 * 2**20
MAX_NODES: Final = 10_000
_MAX_FIELDS: Final = 1_000_000  # of a tensor, a node: more are an attack on whoever reads them

_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODES, _GRAPH_TENSORS, _GRAPH_SPARSE_TENSORS = 1, 5, 15
_NODE_TYPE, _NODE_ATTRIBUTES, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSORS: Final = (5, 10)
_ATTRIBUTE_GRAPHS: Final = (6, 11)
_ATTRIBUTE_SPARSE_TENSORS: Final = (22, 23)
_TENSOR_SHAPE, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 1, 13, 14
_DEFAULT_DOMAINS: Final = (b"", b"ai.onnx")


def screened_content(model: Path) -> bytes:
    """Return the bytes of a model file that may be handed to onnxruntime.

    Raises ModelError if it cannot be read, is no ONNX file, or holds what no contract needs: data outside the file,
    operators outside ONNX's own, loops and branches, functions, tensors larger than the file.
    """
    content = _read(model)
    try:
        for fault in _faults(content):
            raise ModelError(f"{model} is not run: {fault}; make it with `fmnist-edge convert`")
    except (ValueError, TypeError, AttributeError) as error:  # a field of another wire type than it should have
        raise ModelError(f"{model} is no ONNX model: {error}") from error
    return content


def _read(model: Path) -> bytes:
    try:
        with model.open("rb") as file:
            content = file.read(MAX_MODEL_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot read model {model}: {error.strerror}") from error
    if len(content) > MAX_MODEL_BYTES:
        raise ModelError(f"{model} is larger than {MAX_MODEL_BYTES >> 20} MiB: no model of these contracts is")
    return content


def _faults(content: bytes) -> Iterator[str]:
    """Yield what is wrong with a model, one thing after the other."""
    nodes = 0
    for number, value in iterate_fields(content):
        if number == _MODEL_FUNCTIONS:
            yield "it brings functions of its own"
        if number == _MODEL_GRAPH:
            for part, content_of_part in iterate_fields(value):
                nodes += part == _GRAPH_NODES
                if nodes > MAX_NODES:
                    yield f"it has more than {MAX_NODES:,} nodes"
                yield from _graph_faults(part, content_of_part)


def _graph_faults(part: int, content: Any) -> Iterator[str]:
    if part == _GRAPH_NODES:
        yield from _node_faults(content)
    elif part == _GRAPH_TENSORS:
        yield from _tensor_faults(content)
    elif part == _GRAPH_SPARSE_TENSORS:
        yield "it has sparse tensors"


def _node_faults(content: bytes) -> Iterator[str]:
    node = _fields(content)
    foreign = [domain for domain in node[_NODE_DOMAIN] if domain not in _DEFAULT_DOMAINS]
    if foreign:
        names = f"{_text(node[_NODE_TYPE])} of {_text(foreign)}"
        yield f"its operator {names} is none of ONNX's own"
    for attribute in map(_fields, node[_NODE_ATTRIBUTES]):
        if any(attribute[number] for number in _ATTRIBUTE_GRAPHS):
            yield f"its operator {_text(node[_NODE_TYPE])} is a loop or a branch"
        if any(attribute[number] for number in _ATTRIBUTE_SPARSE_TENSORS):
            yield "it has sparse tensors"
        for number in _ATTRIBUTE_TENSORS:
            for tensor in attribute[number]:
                yield from _tensor_faults(tensor)


def _tensor_faults(content: bytes) -> Iterator[str]:
    tensor = _fields(content)
    if tensor[_TENSOR_EXTERNAL_DATA] or any(tensor[_TENSOR_DATA_LOCATION]):
        yield "it keeps data outside the file"
    # A byte holds at most two values (4-bit integers), and a value that is not there cannot be counted.
    if prod(_shape(tensor)) > 2 * len(content):
        yield f"a tensor of {_shape(tensor)} is larger than its data"


def _shape(tensor: Fields) -> list[int]:
    """Return the dimensions of a tensor, which may come one a field or packed into one."""
    shape: list[int] = []
    for value in tensor[_TENSOR_SHAPE]:
        shape += [value] if isinstance(value, int) else _packed(value)
    return shape


def _packed(value: bytes) -> list[int]:
    """Return the numbers of a packed field, read as those of a message with nothing but numbers."""
    numbers, number, shift = [], 0, 0
    for byte in value:
        number, shift = number | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return numbers


def _fields(content: bytes) -> Fields:
    """Return the fields of a part. Raises ValueError if there are too many to be meant well."""
    count = len(content) // 2  # no field has less than two bytes
    if count > _MAX_FIELDS:
        count = sum(1 for _ in zip(iterate_fields(content), range(_MAX_FIELDS + 1), strict=False))
    if count > _MAX_FIELDS:
        raise ValueError("a part of it has too many fields")
    return fields_of(content)


def _text(values: list[Any]) -> str:
    return str(values[-1], "utf-8", "replace") if values else "?"
