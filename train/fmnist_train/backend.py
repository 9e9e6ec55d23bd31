"""Keras on TensorFlow, imported in this one place: quietly, and never on another backend.

The rest of the room writes `from fmnist_train.backend import keras, tf`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

LOG_LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"  # 0 (all) to 3 (errors only)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send what this process writes to file descriptor 2 nowhere; a missing standard error stays missing."""
    sys.stderr.flush() if sys.stderr else None
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


# TensorFlow's C++ side greets everybody on standard error. The variable silences it once it has begun, not while
# it loads (TensorFlow 2.21 logs before its own log is set up). Who sets it to less than 3 gets to hear it.
_wants_silence = os.environ.setdefault(LOG_LEVEL, "3") >= "3"
# Keras would follow ~/.keras/keras.json to another backend; batches and averaging here are TensorFlow's.
os.environ["KERAS_BACKEND"] = "tensorflow"

with _silent_stderr() if _wants_silence else contextlib.nullcontext():
    import keras
    import tensorflow as tf

__all__ = ["keras", "tf", "use_one_thread"]


def use_one_thread() -> None:
    """Compute on one thread, so that sums are taken in the same order however many cores there are.

    The network is so small that more threads gain little. Too late once TensorFlow has begun to compute
    in this process: then its number of threads stays, and a seed gives the same result for that number only.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # "cannot be modified after initialization"
        return
