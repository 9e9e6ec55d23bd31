"""Quantization by onnxruntime's own tool, in the ways it offers."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from fmnist_edge.contract import INPUT_NAME

BATCH: Final = 500
IMAGES: Final = 5_000  # its entropy and percentile methods keep every activation of the calibration in memory


@dataclass(frozen=True)
class ToolWay:
    """One call of onnxruntime's tool."""

    title: str
    method: str | None
    """Name of a CalibrationMethod; None quantizes activations as they come (dynamic)."""
    per_channel: bool
    seven_bits: bool = False


TOOL_WAYS: Final = (
    ToolWay("onnxruntime, min-max, one scale a layer", "MinMax", per_channel=False),
    ToolWay("onnxruntime, min-max, per channel", "MinMax", per_channel=True),
    ToolWay("onnxruntime, min-max, per channel, 7 bits", "MinMax", per_channel=True, seven_bits=True),
    ToolWay("onnxruntime, entropy, per channel", "Entropy", per_channel=True),
    ToolWay("onnxruntime, percentile, per channel", "Percentile", per_channel=True),
    ToolWay("onnxruntime, dynamic, per channel", None, per_channel=True),
)


class _Reader(CalibrationDataReader):
    """Hands calibration images to the tool, in batches."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(np.split(images, len(images) // BATCH))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch by input name, or None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}


def quantize_by_tool(fp32: onnx.ModelProto, way: ToolWay, calibration: NDArray[np.uint8]) -> onnx.ModelProto:
    """Return the fp32 graph quantized by onnxruntime, calibrated on the first IMAGES images, uint8 [n, 28, 28]."""
    logging.getLogger().setLevel(logging.ERROR)  # its advice to preprocess: this graph has nothing to fuse
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(fp32, source)
        shared: dict[str, Any] = {"per_channel": way.per_channel, "reduce_range": way.seven_bits}
        if way.method is None:
            quantize_dynamic(source, target, weight_type=QuantType.QInt8, **shared)
        else:
            method = CalibrationMethod[way.method]
            quantize_static(source, target, _Reader(calibration[:IMAGES]), calibrate_method=method, **shared)
        return onnx.load(target)
