"""The evaluator that comes with the ONNX standard: slow, in plain numpy, and nobody's runtime."""

from __future__ import annotations

import sys

from fmnist_bench.devices.device import Command
from fmnist_bench.devices.tools import PROGRAMS, Tools


def reference_evaluator(_tools: Tools) -> Command:
    """Run onnx.reference with this environment's own onnx."""
    return Command((sys.executable, str(PROGRAMS / "run_reference.py")), "plain numpy", slow=True)
