"""Older onnxruntimes, each on a Python that has wheels of it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from fmnist_bench.devices.device import Command, Method
from fmnist_bench.devices.tools import PROGRAMS, NotAvailableError, Tools


def onnxruntime(release: str, pythons: tuple[str, ...]) -> Method:
    """Run a release of onnxruntime on the first of these Pythons ("3.10", ...) that this machine has."""
    return functools.partial(_onnxruntime, release, pythons)


def _onnxruntime(release: str, pythons: tuple[str, ...], tools: Tools) -> Command:
    interpreter = next((found for name in pythons if (found := find_python(name))), None)
    if interpreter is None:
        raise NotAvailableError(f"needs a Python {pythons[-1]} to {pythons[0]} on the path or in pyenv's versions")
    # Wheels before onnxruntime 1.19 were compiled against numpy 1.
    python = tools.python(interpreter, f"onnxruntime=={release}", "numpy<2")
    return Command((python, str(PROGRAMS / "run_onnxruntime.py")), "as it is")


def find_python(version: str) -> str | None:
    """Return an interpreter of a version like "3.9" from the path or from pyenv, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    return next((path for path in candidates if path and _is_python(path, version)), None)


def _is_python(path: str, version: str) -> bool:
    """Tell whether an interpreter runs and is of a version: pyenv puts names on the path that only print advice."""
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", question], capture_output=True, text=True)
    return done.returncode == 0 and done.stdout.strip() == version
