"""Reading the first layer's weights, and the operators, out of an .onnx file, with numpy alone.

onnxruntime does not hand out either and the `onnx` package is no part of the runtime. The few fields needed are
those of onnx.proto (github.com/onnx/onnx), in the wire format of protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import IMAGE_SIDE
from fmnist_edge.errors import ModelError
from fmnist_edge.model_file.protobuf import Fields as _Fields
from fmnist_edge.model_file.protobuf import fields_of as _fields

PIXELS: Final = IMAGE_SIDE * IMAGE_SIDE
_DTYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
}  # TensorProto.DataType
# What reading a file whose fields are of any number and type can raise.
_UNREADABLE: Final = (OSError, LookupError, ValueError, TypeError, AttributeError)


def first_layer(model: Path) -> NDArray[np.float64]:
    """Return the weights of the first layer as images, float64 [units, 28, 28], for pixels in 0..1.

    Raises ModelError if the file cannot be read or has no such layer.
    """
    try:
        graph = _fields(_fields(model.read_bytes())[7][0])
        tensors = dict(_tensor(_fields(raw)) for raw in graph[5])
        nodes = [_fields(raw) for raw in graph[1]]
        found = [name for name, values in tensors.items() if values is not None and values.shape[:1] == (PIXELS,)]
        scales = [_scale(name, nodes, tensors) for name in found[:1]]
    except _UNREADABLE as error:
        raise ModelError(f"cannot read the weights of {model}: {error!r}") from error
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

    The default domain is "ai.onnx". Raises ModelError if they are no ONNX file.
    """
    try:
        model = _fields(content)
        opsets = {_text(fields[1]): fields[2][0] for fields in map(_fields, model[8])}
        nodes = [_fields(raw) for raw in _fields(model[7][0])[1]]
        found = [(_text(node[7]), node[4][0].decode()) for node in nodes]
    except (IndexError, ValueError) as error:
        raise ModelError(f"cannot read the operators of the model: {error}") from error
    for domain, name in found:
        yield domain or "ai.onnx", opsets[domain], name


def _text(values: list[Any]) -> str:
    """Return a field that may be missing, as text; the domain "ai.onnx" is written as none."""
    text = values[0].decode() if values else ""
    return "" if text == "ai.onnx" else text


def _scale(name: str, nodes: list[_Fields], tensors: dict[str, NDArray[Any] | None]) -> Any:
    """Return what integers are multiplied with: the scales of the DequantizeLinear that reads them, else 1."""
    for node in nodes:
        inputs = [raw.decode() for raw in node[1]]
        if node[4] == [b"DequantizeLinear"] and inputs[0] == name:
            return tensors[inputs[1]]
    return 1.0


def _tensor(fields: _Fields) -> tuple[str, NDArray[Any] | None]:
    """Return name and values of a TensorProto; None for types and forms that no weights here have."""
    dtype, shape = _DTYPES.get(fields[2][0]), [int(size) for size in fields[1]]
    values = np.frombuffer(fields[9][0], dtype).reshape(shape) if dtype is not None and fields[9] else None
    return fields[8][0].decode(), values
