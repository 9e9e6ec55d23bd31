"""The standard's own evaluator, in numpy: python run_reference.py WORKLOAD ANSWERS IMAGES PHOTOS MODEL...

It has no DequantizeLinear below opset 19, so that the classifier is read as of opset 19; its weights stay the same.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnx
from onnx.reference import ReferenceEvaluator

from fmnist_bench.devices.programs.run_onnxruntime import main

OPSET = 19


class ReferenceSession:
    """The evaluator with the face of an onnxruntime session."""

    def __init__(self, path: Path) -> None:
        """Open a model file."""
        model = onnx.load(path)
        if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
            model.opset_import[0].version = OPSET
        self._evaluator = ReferenceEvaluator(model)

    def run(self, outputs: list[str], feeds: dict[str, Any]) -> list[Any]:
        """Return the named outputs."""
        results: list[Any] = self._evaluator.run(outputs, feeds)
        return results


if __name__ == "__main__":
    main(sys.argv[1:], opened=ReferenceSession, runtime=f"onnx.reference {onnx.__version__}")
