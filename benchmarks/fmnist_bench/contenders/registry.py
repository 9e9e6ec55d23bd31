"""The contenders: who they are, what they need, where they are opened. Imports none of their libraries."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fmnist_bench.contenders.opened import Opened

ORIGINAL: Final = "original.keras"
FP32: Final = "fp32.onnx"
INT8: Final = "int8.onnx"
FLOOR: Final = "floor.onnx"
TO_HIDDEN: Final = "int8-to-hidden.onnx"
TO_LOGITS: Final = "int8-to-logits.onnx"
LITERT_FP32: Final = "fp32.tflite"
LITERT_INT8: Final = "int8.tflite"
WEIGHTS: Final = "weights.npz"

ALL: Final = ("one-image", "png-to-label", "ten-thousand")
MODEL_ONLY: Final = ("one-image", "ten-thousand")
PART: Final = ("one-image",)
"""Of those that are measured to see where the time of another goes."""


@dataclass(frozen=True)
class Contender:
    """A way to run the network."""

    key: str
    title: str
    family: str
    """Contenders of a family are measured in one process; families take turns."""
    opener: str
    """"module:function", which takes the model file and the number of threads."""
    model: str
    """Its file among the prepared models."""
    needs: tuple[str, ...] = ()
    """Modules that must be installed besides the runtime."""
    figures: tuple[str, ...] = ALL
    is_ours: bool = False

    @property
    def is_part(self) -> bool:
        """Whether it only shows where the time of another goes."""
        return self.figures == PART

    def missing(self) -> str | None:
        """Name the first module that is not installed."""
        return next((module for module in self.needs if find_spec(module) is None), None)

    def open(self, models: Path, threads: int) -> Opened:
        """Load the library and the model."""
        module, _, function = self.opener.partition(":")
        opened: Opened = getattr(import_module(f"fmnist_bench.contenders.{module}"), function)(
            models / self.model, threads
        )
        return opened


_KERAS: Final = ("tensorflow", "keras")
_OURS: Final = "onnx_files"
CONTENDERS: Final = (
    Contender("int8-classifier", "fmnist-edge int8", "onnx", f"{_OURS}:classifier", INT8, is_ours=True),
    Contender("fp32-classifier", "fmnist-edge fp32", "onnx", f"{_OURS}:classifier", FP32, is_ours=True),
    Contender("int8-session", "int8 .onnx, session.run", "onnx", f"{_OURS}:session", INT8, figures=MODEL_ONLY),
    Contender("fp32-session", "fp32 .onnx, session.run", "onnx", f"{_OURS}:session", FP32, figures=MODEL_ONLY),
    Contender("floor", "a graph of one copy, bound", "onnx", f"{_OURS}:bound", FLOOR, figures=PART),
    Contender(
        "int8-hidden", "int8 .onnx to the hidden layer, bound", "onnx", f"{_OURS}:bound", TO_HIDDEN, figures=PART
    ),
    Contender("int8-logits", "int8 .onnx to the logits, bound", "onnx", f"{_OURS}:bound", TO_LOGITS, figures=PART),
    Contender("int8-bound", "int8 .onnx, bound", "onnx", f"{_OURS}:bound", INT8, figures=PART),
    Contender("litert-int8", "LiteRT int8", "litert", "litert:interpreter", LITERT_INT8, ("ai_edge_litert",)),
    Contender("litert-fp32", "LiteRT fp32", "litert", "litert:interpreter", LITERT_FP32, ("ai_edge_litert",)),
    Contender("openvino-int8", "OpenVINO int8", "openvino", "openvino_file:request", INT8, ("openvino",)),
    Contender("numpy", "numpy fp32", "numpy", "numpy_weights:network", WEIGHTS),
    Contender("tf-function", "Keras, tf.function", "keras", "keras_original:traced", ORIGINAL, _KERAS),
    Contender("keras-call", "Keras, model(x)", "keras", "keras_original:called", ORIGINAL, _KERAS),
    Contender("keras-predict", "Keras, model.predict", "keras", "keras_original:predicted", ORIGINAL, _KERAS),
)


def contender(key: str) -> Contender:
    """Return a contender by its key; raises KeyError."""
    return {one.key: one for one in CONTENDERS}[key]
