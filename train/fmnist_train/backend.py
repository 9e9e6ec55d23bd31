"""Keras on TensorFlow, imported in this one place: quietly, and never on another backend.

The rest of the room writes `from fmnist_train.backend import keras, tf`.
"""

from __future__ import annotations

import os
from contextlib import nullcontext

from fmnist_edge.decoding import quiet_standard_error

# Keras would follow ~/.keras/keras.json to another backend; batches and averaging here are TensorFlow's.
os.environ["KERAS_BACKEND"] = "tensorflow"

# 0 (all) to 3 (errors only) of TensorFlow's C++ log. It takes effect once TensorFlow has begun, not while it loads.
is_silent = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"

with quiet_standard_error() if is_silent else nullcontext():
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
