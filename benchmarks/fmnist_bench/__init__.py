"""Benchmarks: what the models cost on a device, measured against alternatives."""

from __future__ import annotations

import os
from typing import Final

# Some machines set OpenBLAS's for old libraries, which slows numpy; those of pytest-xdist would end all measuring.
_DROPPED: Final = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTEST_")
_POOLS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def environment() -> dict[str, str]:
    """Return this process's environment with one thread for every library that reads it, and fewer log messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    return kept | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"} | dict.fromkeys(_POOLS, "1")
