"""What is installed for the whole suite."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

_SUITE: Final = ("pytest", "pytest_benchmark", "matplotlib", "jinja2")


def missing_for_suite() -> str | None:
    """Name the first module that the whole suite lacks here; the contenders' own may be missing, too."""
    return next((module for module in _SUITE if find_spec(module) is None), None)
