"""Whole processes: started, timed, and their answers checked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fmnist_bench.row import Sample
from fmnist_edge.errors import GateError

SCRIPTS: Final = Path(__file__).parent.parent / "scripts"
_LAUNCHER: Final = SCRIPTS / "launcher.py"


@dataclass(frozen=True)
class Launched:
    """One process, from its start to its end."""

    seconds: float
    cpu_seconds: float | None
    peak_bytes: int | None
    output: str
    """What it printed; empty if that was discarded."""

    def as_sample(self) -> Sample:
        """Return this run as a process's sample."""
        return Sample([self.seconds], self.cpu_seconds, self.peak_bytes)


def launch(command: Sequence[str], variables: dict[str, str], *, discard: bool = False) -> Launched:
    """Run a command and wait for it. Raises GateError if it fails."""
    options = ["--discard"] if discard else []
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), *options, *command]
    facts = json.loads(subprocess.run(launcher, capture_output=True, env=variables, check=True).stdout)
    if facts["code"] != 0:
        reason = (facts["errors"].strip().splitlines() or ["no message"])[-1]
        raise GateError(f"{' '.join(command[:2])} ... ended with exit code {facts['code']}: {reason}")
    return Launched(facts["seconds"], facts["cpu_seconds"], facts["peak_bytes"], facts["output"])


def script(name: str, *arguments: Path) -> list[str]:
    """Return the command that runs one of the programs in `scripts`."""
    return [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, arguments)]


def command_line() -> list[str]:
    """Return how `fmnist-edge` is started: the installed script, or the function behind it."""
    for name in ("fmnist-edge", "fmnist-edge.exe"):
        installed = Path(sys.executable).with_name(name)
        if installed.is_file():
            return [str(installed)]
    return entry_point("fmnist_edge.__main__:run")


def entry_point(entry: str) -> list[str]:
    """Return a command that does what a script for the entry point "module:function" does."""
    module, _, function = entry.partition(":")
    return [sys.executable, "-c", f"import sys; from {module} import {function} as run; sys.exit(run())"]
