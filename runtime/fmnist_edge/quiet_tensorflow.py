"""Importing TensorFlow without its greetings on standard error. Imports no TensorFlow itself."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

LOG_LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"  # 0 (all) to 3 (errors only)


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keep TensorFlow's C++ log off standard error while it is imported in this block, and afterwards.

    Its variable silences it once it has begun, not while it loads (TensorFlow 2.21 logs before its own log is set
    up), so file descriptor 2 leads nowhere meanwhile. Who sets the variable to less than 3 gets to hear it.
    """
    wants_silence = os.environ.setdefault(LOG_LEVEL, "3") == "3"
    with _silent_stderr() if wants_silence else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send what this process writes to file descriptor 2 nowhere; a missing standard error stays missing."""
    if sys.stderr:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
