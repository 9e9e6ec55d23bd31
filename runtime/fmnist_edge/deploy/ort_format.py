"""The .ort form of a model: onnxruntime's own format, which its smallest builds can load."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import onnxruntime

from fmnist_edge.model_file.session import session_options

_EXTENDED: Final = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
_ALL: Final = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
# Lays float tensors out for the x86 CPU at hand; onnxruntime's own convert_onnx_models_to_ort leaves it out, too.
_OF_ONE_CPU: Final = ["NchwcTransformer"]


def ort_file(model: Path) -> bytes:
    """Return an .onnx model in ORT format, optimized as far as is the same on every CPU ('extended').

    The bytes differ from run to run, the answers do not.
    """
    return _saved(model, ".ort", "ORT", _EXTENDED)


def optimized_graphs(model: Path) -> list[bytes]:
    """Return the graph that 'extended' optimization makes, and the one of the default level, as .onnx files."""
    return [_saved(model, ".onnx", "ONNX", level) for level in (_EXTENDED, _ALL)]


def _saved(model: Path, suffix: str, form: str, level: Any) -> bytes:
    options = session_options()
    options.graph_optimization_level = level
    options.add_session_config_entry("session.save_model_format", form)
    providers = ["CPUExecutionProvider"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"optimized{suffix}"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(str(model), options, providers, disabled_optimizers=_OF_ONE_CPU)
        return path.read_bytes()
