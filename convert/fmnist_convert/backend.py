"""Keras, TensorFlow and tf2onnx, imported in this one place, quietly, and only when a Keras file is opened."""

from __future__ import annotations

import logging
import os

from fmnist_edge.errors import MissingExtraError
from fmnist_edge.quiet import quiet_tensorflow

os.environ["KERAS_BACKEND"] = "tensorflow"  # tf2onnx traces TensorFlow functions; ~/.keras/keras.json may say otherwise

try:
    with quiet_tensorflow():
        import keras
        import tensorflow as tf
        import tf2onnx
except ModuleNotFoundError as error:
    raise MissingExtraError("convert", "convert", str(error.name)) from error

logging.getLogger("tf2onnx").setLevel(logging.ERROR)

__all__ = ["keras", "tf", "tf2onnx"]
