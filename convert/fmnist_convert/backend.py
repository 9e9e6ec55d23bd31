"""Keras, TensorFlow and tf2onnx, imported in this one place, quietly, and only when a Keras file is opened."""

from __future__ import annotations

import logging
import os
from contextlib import nullcontext

from fmnist_edge.decoding import quiet_standard_error
from fmnist_edge.errors import MissingExtraError

os.environ["KERAS_BACKEND"] = "tensorflow"  # tf2onnx traces TensorFlow functions; ~/.keras/keras.json may say otherwise

# 0 (all) to 3 (errors only) of TensorFlow's C++ log. It takes effect once TensorFlow has begun, not while it loads.
is_silent = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"

try:
    with quiet_standard_error() if is_silent else nullcontext():
        import keras
        import tensorflow as tf
        import tf2onnx
except ModuleNotFoundError as error:
    raise MissingExtraError("convert", "convert", str(error.name)) from error

logging.getLogger("tf2onnx").setLevel(logging.ERROR)

__all__ = ["keras", "tf", "tf2onnx"]
