"""Installing what the devices need: Debian packages, old onnxruntimes, npm packages. Nothing is installed twice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROGRAMS: Final = Path(__file__).parent / "programs"
INSTALL_SECONDS: Final = 600


class NotAvailableError(Exception):
    """A device cannot be had on this machine; the message says why and what would help."""


@dataclass(frozen=True)
class Tools:
    """Where tools are kept between runs: build/devices/tools."""

    folder: Path

    def program(self, name: str, *packages: str) -> str:
        """Return the path of a program, installing Debian packages for it where that is possible."""
        if found := shutil.which(name):
            return found
        wanted = " ".join(packages)
        if not shutil.which("apt-get") or os.geteuid() != 0:
            raise NotAvailableError(f"needs {name}: as root on Debian, apt-get install {wanted}")
        note(f"installing {wanted}")
        run(["apt-get", "update", "-qq"], "apt-get update")
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], f"apt-get install {wanted}")
        if found := shutil.which(name):
            return found
        raise NotAvailableError(f"apt-get install {wanted} brought no {name}")

    def python(self, interpreter: str, *requirements: str) -> str:
        """Return the python of a virtual environment that has exactly what is required, made on first use."""
        key = hashlib.sha256(" ".join((interpreter, *requirements)).encode()).hexdigest()[:12]
        python = self.folder / f"venv-{key}" / "bin" / "python"
        done = python.parents[1] / "installed"
        if not done.exists():
            note(f"installing {' '.join(requirements)}")
            run([interpreter, "-m", "venv", "--clear", str(python.parents[1])], f"{interpreter} -m venv")
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:"]
            run([*pip, *requirements], f"pip install {' '.join(requirements)}")
            done.touch()
        return str(python)

    def npm(self, wanted: str) -> Path:
        """Return the node_modules folder of programs/npm/<wanted>.json, installed on first use."""
        npm = self.program("npm", "nodejs", "npm")
        specification, folder = PROGRAMS / "npm" / f"{wanted}.json", self.folder / f"npm-{wanted}"
        done = folder / "installed"
        if not done.exists() or done.read_bytes() != specification.read_bytes():
            note(f"installing {', '.join(json.loads(specification.read_text())['dependencies'])} from npm")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(specification, folder / "package.json")
            # No package's script is run: that of onnxruntime-node would download GPU libraries.
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
            run([npm, "install", *options], "npm install", folder=folder)
            shutil.copy(specification, done)
        return folder / "node_modules"


def run(command: Sequence[str], name: str, folder: Path | None = None) -> str:
    """Run an install step and return what it printed. Raises NotAvailableError with its last words if it fails."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "ONNXRUNTIME_NODE_INSTALL": "skip"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        raise NotAvailableError(f"{name} failed: {last_line(error.stderr or error.stdout)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAvailableError(f"{name} failed: {error}") from error
    return done.stdout


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def note(text: str) -> None:
    """Tell on standard error what goes on."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()
