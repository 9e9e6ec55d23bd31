"""A small writer of ONNX graphs: each call adds one operator and returns the name of its result."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Value = str  # the name of a tensor in the graph
Operand = Value | int | float | bool | NDArray[np.generic] | np.generic  # a tensor, or a constant


class GraphBuilder:
    """Collects nodes and constants; equal constants are stored once, names follow the order of the calls."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self._counts: Counter[str] = Counter()

    def add(self, operator: str, *inputs: Operand, name: str | None = None, **attributes: Any) -> Value:
        """Add an operator with one result. Python numbers become float32 constants, bools bool, ints int64."""
        result = name or self._fresh(operator)
        operands = [self.operand(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, operands, [result], name=f"{result}_node", **attributes))
        return result

    def operand(self, value: Operand, name: str | None = None) -> Value:
        """Return the name of a tensor, storing a constant if it is none yet, by a name if one is given."""
        if isinstance(value, str):
            return value
        if isinstance(value, float):
            value = np.float32(value)
        array = np.asarray(value)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, name or self._fresh("constant"))
        return self.constants[key].name

    def cast(self, value: Operand, kind: type[np.generic]) -> Value:
        """Convert to another element type."""
        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def reshape(self, value: Value, *shape: int) -> Value:
        """Give a tensor another shape of the same size."""
        return self.add("Reshape", value, np.array(shape, np.int64))

    def include(self, model: onnx.ModelProto, prefix: str, feeds: dict[str, Value]) -> dict[str, Value]:
        """Copy a whole model in, its names behind a prefix, its inputs fed; return output name to value."""
        renamed = dict(feeds)

        def inside(name: str) -> str:
            return renamed.get(name, f"{prefix}_{name}") if name else ""

        for node in model.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{prefix}_{node.name}"
            copy.input[:] = [inside(name) for name in node.input]
            copy.output[:] = [inside(name) for name in node.output]
            self.nodes.append(copy)
        for tensor in model.graph.initializer:
            constant = onnx.TensorProto()
            constant.CopyFrom(tensor)
            constant.name = inside(tensor.name)
            self.constants[(prefix, (), constant.name.encode())] = constant
        return {output.name: inside(output.name) for output in model.graph.output}

    def _fresh(self, operator: str) -> str:
        self._counts[operator] += 1
        return f"{operator.lower()}_{self._counts[operator]}"

    def model(
        self,
        name: str,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
        opset: int,
        ir_version: int,
    ) -> onnx.ModelProto:
        """Return the finished model, checked with shape inference."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.constants.values()))
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version, producer_name="fmnist-edge"
        )
        onnx.checker.check_model(model, full_check=True)
        return model
