"""The environment of measured processes: how many threads, and no talk on standard error."""

from __future__ import annotations

import os
from typing import Final

# OPENBLAS_CORETYPE and its like are set on some machines for old libraries' sake; they would slow numpy.
_DROPPED: Final = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def environment(threads: int | None = None) -> dict[str, str]:
    """Return this process's environment with the number of threads set for every library that reads one.

    None leaves them alone, as a user's shell does.
    """
    result = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    result |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "ORT_DISABLE_TELEMETRY": "1"}
    if threads is not None:
        result |= dict.fromkeys(_THREADS, str(threads))
    return result
