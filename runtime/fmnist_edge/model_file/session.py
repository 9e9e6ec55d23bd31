"""Opening an onnxruntime session, and refusing files that break the contracts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

# onnxruntime's official builds report usage (its Privacy.md); a classifier at the edge must not, unless asked to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from fmnist_edge.contract import (
    IMAGE_SIDE,
    INPUT_NAME,
    LABELS,
    MASK_NAME,
    MASK_SIDE,
    OUTPUT_NAME,
    PHOTO_NAME,
)
from fmnist_edge.errors import ModelError
from fmnist_edge.model_file.info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, facts_from_metadata

Kind: TypeAlias = Literal["classifier", "photo"]

_IMAGE: Final = (INPUT_NAME, "tensor(uint8)", (None, IMAGE_SIDE, IMAGE_SIDE))
_PHOTO: Final = (PHOTO_NAME, "tensor(uint8)", (None, None, 3))
_OUTPUTS: Final[dict[Kind, list[tuple[str, str, tuple[int | None, ...]]]]] = {
    "classifier": [(OUTPUT_NAME, "tensor(float)", (None, len(LABELS)))],
    "photo": [
        (OUTPUT_NAME, "tensor(float)", (1, len(LABELS))),
        (INPUT_NAME, "tensor(uint8)", (IMAGE_SIDE, IMAGE_SIDE)),
        (MASK_NAME, "tensor(uint8)", (MASK_SIDE, MASK_SIDE)),
    ],
}


def open_session(model: Path, *, threads: int = 1, optimized: bool = True) -> Any:
    """Return an onnxruntime InferenceSession on the CPU for a classifier or photo model file.

    `optimized=False` turns graph optimizations off, which the parity gate measures as well. A file that did not come
    with this package is screened and tried out first.
    Raises ModelError if the file is missing, is no ONNX model, breaks its contract, or does not behave.
    """
    if not model.is_file():
        raise ModelError(f"no model at {model}: give the path of an .onnx file made by `fmnist-edge convert`")
    options = _options(threads, optimized)
    if model in (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL):
        return _opened(str(model), options, model)
    from fmnist_edge.model_file.screening import screened_content  # not above: the shipped models need neither
    from fmnist_edge.model_file.trial import limit_memory, try_out

    content = screened_content(model)
    careful = _options(1, False)
    for one in (careful, options):
        one.add_session_config_entry("session.load_model_format", "ONNX")  # and not the other format that it knows
        limit_memory(one)
    try_out(lambda: _opened(content, careful, model), lambda session: kind_of(session) == "photo", model)
    return _opened(content, options, model)


def _options(threads: int, optimized: bool) -> Any:
    options = session_options(threads)
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _opened(source: str | bytes, options: Any, model: Path) -> Any:
    """Return a session whose inputs, outputs and labels are those of a contract. Raises ModelError."""
    try:
        session = onnxruntime.InferenceSession(source, sess_options=options, providers=["CPUExecutionProvider"])
        _check_contract(session, model)
    except ModelError:
        raise
    except Exception as error:  # onnxruntime raises a dozen types of its own, with no common base
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{model} is not a model that onnxruntime can load: {detail}") from error
    return session


def session_options(threads: int = 1) -> Any:
    """Return onnxruntime's options for `threads` threads, and no log lines: errors come as exceptions."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def kind_of(session: Any) -> Kind:
    """Tell which contract an open session keeps."""
    return "photo" if session.get_inputs()[0].name == PHOTO_NAME else "classifier"


def failed_run(model: Path, error: Exception) -> ModelError:
    """Return what to raise when onnxruntime cannot run a model that it could load, as for want of memory."""
    detail = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ModelError(f"{model} cannot be run: {detail}")


def facts_of(session: Any) -> dict[str, Any]:
    """Return what the model's metadata say, decoded."""
    return facts_from_metadata(session.get_modelmeta().custom_metadata_map)


def _check_contract(session: Any, model: Path) -> None:
    """Raise ModelError unless inputs, outputs and labels are those of a classifier or of a photo model."""
    inputs = [_signature(node) for node in session.get_inputs()]
    outputs = [_signature(node) for node in session.get_outputs()]
    if inputs not in ([_IMAGE], [_PHOTO]):
        raise _breaks(model, f"its inputs are {inputs}, neither {_IMAGE} nor {_PHOTO}")
    missing = [output for output in _OUTPUTS[kind_of(session)] if output not in outputs]
    if missing:
        raise _breaks(model, f"its outputs are {outputs}, without {missing}")
    labels = facts_of(session).get("labels")
    if labels != list(LABELS):
        raise _breaks(model, f"its labels are {labels}, not those of Fashion-MNIST")


def _signature(node: Any) -> tuple[str, str, tuple[int | None, ...]]:
    """Return name, element type and shape of an input or output; a free dimension is None."""
    return node.name, node.type, tuple(side if isinstance(side, int) else None for side in node.shape)


def _breaks(model: Path, what: str) -> ModelError:
    return ModelError(f"{model} does not keep the contract: {what}; make it with `fmnist-edge convert`")
