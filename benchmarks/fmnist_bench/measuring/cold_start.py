"""Cold starts: a whole process from nothing to the label of one PNG file. The files are in the system's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fmnist_bench.contenders import registry
from fmnist_bench.measuring.environment import environment
from fmnist_bench.measuring.launching import command_line, launch, script
from fmnist_bench.row import Row, Sample, row_of
from fmnist_edge.errors import GateError

# Contender to the program that stands for it; the int8 Classifier's is the command line itself.
_SCRIPTS: Final = {
    "int8-session": "onnx_session",
    "litert-int8": "litert_interpreter",
    "litert-fp32": "litert_interpreter",
    "openvino-int8": "openvino_request",
    "numpy": "numpy_network",
    "keras-predict": "keras_predict",
}
OURS: Final = "int8-classifier"


def measure_cold_starts(models: Path, png: Path, label: str, runs: int, on_step: Callable[[str], None]) -> list[Row]:
    """Start every contender's program `runs` times, taking turns; once before, unmeasured.

    Raises GateError if one does not print `label`.
    """
    commands = _commands(models, png)
    samples: dict[str, list[Sample]] = {key: [] for key in commands}
    for number in range(runs + 1):
        on_step(f"cold starts {number + 1}")
        for key, command in commands.items():
            launched = launch(command, environment())
            if label not in launched.output:
                raise GateError(f"{key} calls {png.name} {launched.output.strip()!r}, not {label!r}")
            if number:
                samples[key].append(launched.as_sample())
    return [row_of("cold-start", key, taken) for key, taken in samples.items()]


def _commands(models: Path, png: Path) -> dict[str, list[str]]:
    commands = {OURS: [*command_line(), "classify", str(png)]}
    for key, name in _SCRIPTS.items():
        one = registry.contender(key)
        if not one.missing() and (models / one.model).is_file():
            commands[key] = script(name, models / one.model, png)
    return commands
