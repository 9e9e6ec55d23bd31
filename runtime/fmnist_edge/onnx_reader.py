"""Reading .onnx files without the `onnx` package, strictly, since they may be untrusted.

Validation, operators and the first layer's weights.

The wire format is that of protobuf.dev/programming-guides/encoding; numbers of fields are those of onnx.proto
(github.com/onnx/onnx). As protobuf has it, a message that comes twice is one message: so all occurrences are looked at.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import IMAGE_SIDE

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


_ADVICE: Final = "give the path of an .onnx file made by `fmnist-edge convert`"
_NOT_ONNX: Final = f"is not an ONNX model, or a damaged one: {_ADVICE}"


def validated_content(model: Path) -> bytes:
    """Return the bytes of a model file that may be handed to onnxruntime.

    Raises ModelError if it cannot be read, isn't an ONNX file, or holds what no contract needs: data outside the file,
    operators outside ONNX's own, loops and branches, functions, tensors larger than the file.
    """
    content = model_bytes(model)
    validate_content(content, model, "make it with `fmnist-edge convert`")
    return content


def validate_content(content: bytes, model: Path, advice: str) -> None:
    """Raise ModelError, ending in `advice`, for the bytes of a model that onnxruntime should not get."""
    try:
        for fault in _faults(content):
            raise ModelError(f"{model} is not run: {fault}; {advice}")
    except (ValueError, TypeError, AttributeError) as error:  # a field of another wire type than it should have
        raise ModelError(f"{model} {_NOT_ONNX}") from error


def model_bytes(model: Path) -> bytes:
    """Return the bytes of a model file.

    Raises ModelError if it cannot be read, is larger than any model here, or is known for a file of another kind.
    """
    try:
        with model.open("rb") as file:
            content = file.read(MAX_MODEL_BYTES + 1)
    except OSError as error:
        raise ModelError(_unreadable(model, error)) from error
    kind = next((kind for kind, begin in _OTHER_KINDS if re.match(begin, content, re.DOTALL)), None)
    if kind is not None:
        raise ModelError(f"{model} is {kind.format(model=model)}")
    if len(content) > MAX_MODEL_BYTES:
        raise ModelError(f"{model} is larger than {MAX_MODEL_BYTES >> 20} MiB: no model of these contracts is")
    return content


def _unreadable(model: Path, error: OSError) -> str:
    if model.parts[:1] in (("http:",), ("https:",)):  # as a path, it has lost a slash
        address = f"{model.parts[0]}//{'/'.join(model.parts[1:])}"
        return f"{address} is an address, not a file: download it first, and name the file"
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return f"no model at {model}: {_ADVICE}"
    if isinstance(error, IsADirectoryError):
        if inside := sorted(model.glob("*.int8.onnx")) or sorted(model.glob("*.onnx")):
            return f"{model} is a folder, not an .onnx file; name a file in it, such as {inside[0]}"
        return f"{model} is a folder, not an .onnx file; `fmnist-edge convert {model} -o DIR` makes one of a SavedModel"
    return f"cannot read model {model}: {error.strerror}"


# Model files of other kinds: what they are and what to do, and what they begin with.
_CONVERT: Final = "convert it first with `fmnist-edge convert {model} -o DIR`"
_OTHER_KINDS: Final = (
    (
        "a PyTorch file, not ONNX: write an .onnx file with `torch.onnx.export`",
        rb"PK\x03\x04.{26}[^/]+/(?:data\.pkl|\.)",
    ),
    (f"a Keras file, not ONNX: {_CONVERT}", rb"PK\x03\x04"),
    (f"a Keras (HDF5) file, not ONNX: {_CONVERT}", rb"\x89HDF\r\n\x1a\n"),
    ("a TensorFlow Lite file, not ONNX: convert the Keras model that it was made from", rb".{4}TFL3"),
    ("a Git LFS pointer, not the model: get the model with `git lfs pull`", rb"version https://git-lfs"),
    (
        "a network without its weights (to_json): save all of it with `model.save('model.keras')`",
        rb"\s*\{\s*\"(?:module|class_name)",
    ),
    ("a picture, not a model: `fmnist-edge classify {model}` names what is in it", rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF"),
)


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
        yield f"its operator {names} is not one of ONNX's own"
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


PIXELS: Final = IMAGE_SIDE * IMAGE_SIDE
# By TensorProto.DataType.
_DTYPES: Final[dict[int, np.dtype[Any]]] = {1: np.dtype("<f4"), 2: np.dtype("u1"), 3: np.dtype("i1")}
# What reading a file whose fields are of any number and type can raise.
_UNREADABLE: Final = (OSError, LookupError, ValueError, TypeError, AttributeError)


def first_layer(model: Path) -> NDArray[np.float64]:
    """Return the weights of the first layer as images, float64 [units, 28, 28], for pixels in 0..1.

    Raises ModelError if the file cannot be read or has no such layer.
    """
    content = model_bytes(model)
    try:
        graph = fields_of(fields_of(content)[7][0])
        tensors = dict(_tensor(fields_of(raw)) for raw in graph[5])
        nodes = [fields_of(raw) for raw in graph[1]]
        found = [name for name, values in tensors.items() if values is not None and values.shape[:1] == (PIXELS,)]
        scales = [_scale(name, nodes, tensors) for name in found[:1]]
    except _UNREADABLE as error:
        raise ModelError(f"{model} {_NOT_ONNX}") from error
    if not found:
        raise ModelError(f"{model} has no layer of {PIXELS} inputs stored as float32 or int8")
    values = tensors[found[0]]
    assert values is not None
    if values.ndim != 2 or np.size(scales[0]) not in (1, values.shape[1]):
        raise ModelError(f"{model} has a first layer of another form than [{PIXELS}, units]")
    scaled: NDArray[np.float64] = values.astype(np.float64) * np.asarray(scales[0], np.float64).reshape(-1)
    return scaled.T.reshape(-1, IMAGE_SIDE, IMAGE_SIDE)


def operators_of(content: bytes) -> Iterator[tuple[str, int, str]]:
    """Yield the operators of an .onnx file's bytes as (domain, opset, name), once for each node.

    The default domain is "ai.onnx". Raises ModelError if they aren't an ONNX file.
    """
    try:
        model = fields_of(content)
        opsets = {_domain(fields[1]): fields[2][0] for fields in map(fields_of, model[8])}
        nodes = [fields_of(raw) for raw in fields_of(model[7][0])[1]]
        found = [(_domain(node[7]), node[4][0].decode()) for node in nodes]
    except (IndexError, ValueError) as error:
        raise ModelError(f"cannot read the operators of the model: {error}") from error
    for domain, name in found:
        yield domain or "ai.onnx", opsets[domain], name


def _domain(values: list[Any]) -> str:
    """Return a field that may be missing, as text; the domain "ai.onnx" is written as none."""
    text = values[0].decode() if values else ""
    return "" if text == "ai.onnx" else text


def _scale(name: str, nodes: list[Fields], tensors: dict[str, NDArray[Any] | None]) -> Any:
    """Return what integers are multiplied with: the scales of the DequantizeLinear that reads them, else 1."""
    for node in nodes:
        inputs = [raw.decode() for raw in node[1]]
        if node[4] == [b"DequantizeLinear"] and inputs[0] == name:
            return tensors[inputs[1]]
    return 1.0


def _tensor(fields: Fields) -> tuple[str, NDArray[Any] | None]:
    """Return name and values of a TensorProto; None for types and forms that no weights here have."""
    dtype, shape = _DTYPES.get(fields[2][0]), [int(size) for size in fields[1]]
    values = np.frombuffer(fields[9][0], dtype).reshape(shape) if dtype is not None and fields[9] else None
    return fields[8][0].decode(), values


Fields = dict[int, list[Any]]
"""A message's fields by number, each with all its values: integers, or bytes where the wire has a length."""

_LONGEST_VARINT: Final = 10  # bytes; of 64 bits


def fields_of(data: bytes) -> Fields:
    """Return a message's fields. Raises ValueError if the bytes aren't a message."""
    fields: Fields = defaultdict(list)
    for number, value in iterate_fields(data):
        fields[number].append(value)
    return fields


def iterate_fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) in the order of the message. Raises ValueError, at the latest at its end."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"an ONNX file has no wire type {wire}")
        if size > end - at:
            raise ValueError("a field is longer than its message")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(data[at : at + _LONGEST_VARINT], 1):
        value |= (byte & 0x7F) << 7 * (count - 1)
        if byte < 0x80:
            return value, at + count
    raise ValueError("a number is cut off or longer than 64 bits")
