"""The range of every activation of the segmenter: what conversion to int8 needs to know."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_train.backend import keras

# Share of activations that may lie outside on either side: a few extreme ones would cost all others resolution.
OUTSIDE: Final = 5e-5
_STORED: Final = (
    "ReLU",
    "Add",
)  # kinds of layers whose results a quantized graph stores; and convolutions without ReLU


def activation_ranges(model: Any, thumbnails: NDArray[np.float32]) -> dict[str, list[float]]:
    """Return layer name -> [low, high] of a segmenter's activations on thumbnails, float32 [n, 96, 96, 3] in 0..255."""
    layers = [layer for layer in model.layers if type(layer).__name__ in _STORED or layer.name.endswith("_narrow")]
    probe = keras.Model(model.inputs, [layer.output for layer in layers])
    ranges = {"scale": [-2.0, 2.0]}  # of the Rescaling layer, by its constants
    for layer, values in zip(layers, probe.predict(thumbnails, batch_size=32, verbose=0), strict=True):
        low, high = np.quantile(values, [OUTSIDE, 1 - OUTSIDE])
        ranges[layer.name] = [round(min(float(low), 0.0), 4), round(float(high), 4)]
    return ranges
