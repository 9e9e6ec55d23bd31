"""Opening an onnxruntime session, and refusing files that break the classifier contract."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# onnxruntime's official builds report usage (its Privacy.md); a classifier at the edge must not, unless asked to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from fmnist_edge.contract import IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import facts_from_metadata


def open_session(model: Path, *, threads: int = 1, optimized: bool = True) -> Any:
    """Return an onnxruntime InferenceSession on the CPU for a classifier file.

    `optimized=False` turns graph optimizations off, which the parity gate measures as well.
    Raises ModelError if the file is missing, is no ONNX model, or breaks the contract.
    """
    if not model.is_file():
        raise ModelError(f"no model at {model}: give the path of an .onnx file made by `fmnist-edge convert`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions; onnxruntime's own log lines are for its authors
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(str(model), sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen types of its own, with no common base
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{model} is not a model that onnxruntime can load: {detail}") from error
    _check_contract(session, model)
    return session


def _check_contract(session: Any, model: Path) -> None:
    """Raise ModelError unless inputs, outputs and labels are those of a classifier."""
    inputs = [(node.name, node.type, node.shape[1:]) for node in session.get_inputs()]
    if inputs != [(INPUT_NAME, "tensor(uint8)", [IMAGE_SIDE, IMAGE_SIDE])]:
        raise _breaks(model, f"its inputs are {inputs}, not one uint8 [batch, 28, 28] named '{INPUT_NAME}'")
    outputs = {node.name: (node.type, node.shape[1:]) for node in session.get_outputs()}
    if outputs.get(OUTPUT_NAME) != ("tensor(float)", [len(LABELS)]):
        raise _breaks(model, f"its outputs are {outputs}, with no float32 [batch, 10] named '{OUTPUT_NAME}'")
    facts = facts_from_metadata(session.get_modelmeta().custom_metadata_map)
    if facts.get("labels") != list(LABELS):
        raise _breaks(model, f"its labels are {facts.get('labels')}, not those of Fashion-MNIST")


def _breaks(model: Path, what: str) -> ModelError:
    return ModelError(f"{model} does not keep the classifier contract: {what}; make it with `fmnist-edge convert`")
