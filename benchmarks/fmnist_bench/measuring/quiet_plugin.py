"""A pytest plugin that keeps pytest-benchmark from asking git and the CPU who they are: `machine` knows, at once."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl
def pytest_benchmark_generate_machine_info(config: Any) -> dict[str, str]:
    """Return nothing new: asking takes a second in each process."""
    return {}


@pytest.hookimpl
def pytest_benchmark_generate_commit_info(config: Any) -> dict[str, str]:
    """Return nothing: a wheel has no commit."""
    return {}
