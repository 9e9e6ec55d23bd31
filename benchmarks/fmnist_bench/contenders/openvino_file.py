"""OpenVINO, which reads the int8 .onnx file itself and so runs the same integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fmnist_bench.contenders.opened import Opened


def request(model: Path, threads: int) -> Opened:
    """Open a file on the CPU, set for latency; inputs and outputs are shared, not copied."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    opened = openvino.Core().compile_model(str(model), "CPU", settings).create_infer_request()

    def run(images: Any) -> Any:
        return opened.infer({0: images}, share_inputs=True, share_outputs=True)[0]

    return Opened(run, run)
