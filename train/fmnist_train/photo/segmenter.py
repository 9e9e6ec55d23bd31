"""The segmenter: a small U-Net from a 96x96 thumbnail to the garment's mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmnist_train.backend import keras
from fmnist_train.photo.taps import SIZE

layers = keras.layers


def _block(x: Any, width: int, name: str, norm: bool, stride: int = 1, kernel: int = 3) -> Any:
    x = layers.Conv2D(width, kernel, stride, padding="same", use_bias=not norm, name=f"{name}_conv")(x)
    if norm:
        x = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _fine(x: Any) -> Any:
    """Make of four channels at half size one at full size (DepthToSpace, block 2)."""
    half = SIZE // 2
    x = layers.Reshape((half, half, 2, 2), name="fine_split")(x)
    x = layers.Permute((1, 3, 2, 4), name="fine_order")(x)
    return layers.Reshape((SIZE, SIZE), name="mask_logits")(x)


def build(widths: tuple[int, ...], norm: bool = True) -> Any:
    """Return a fresh segmenter: float32 [n, 96, 96, 3] in 0..255 to mask logits, float32 [n, 96, 96].

    `widths` are the channels of the levels, `norm` adds batch normalisation (for training). Weights are drawn from
    Keras's global seed.
    """
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = layers.Rescaling(4 / 255, -2, name="scale")(pixels)
    x = _block(x, widths[0], "stem", norm, stride=2, kernel=5)
    skips = []
    for level, width in enumerate(widths):
        if level:
            x = layers.MaxPooling2D(name=f"down{level}")(x)
            x = _block(x, width, f"down{level}a", norm)
        x = _block(x, width, f"down{level}b", norm)
        skips.append(x)
    for level in range(len(widths) - 2, -1, -1):
        width = widths[level]
        x = layers.Conv2D(width, 1, name=f"up{level}_narrow")(x)
        x = layers.UpSampling2D(name=f"up{level}_grow")(x)
        x = layers.Add(name=f"up{level}_skip")([x, skips[level]])
        x = _block(x, width, f"up{level}a", norm)
    return keras.Model(pixels, _fine(layers.Conv2D(4, 1, name="fine")(x)), name="segmenter")


def folded(model: Any, widths: tuple[int, ...]) -> Any:
    """Return the same function with each batch normalisation folded into the convolution before it."""
    plain = build(widths, norm=False)
    for layer in plain.layers:
        name = layer.name.replace("_conv", "_norm")
        if layer.name.endswith("_conv"):
            gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in model.get_layer(name).get_weights())
            scale = gamma / np.sqrt(variance + model.get_layer(name).epsilon)
            layer.set_weights([model.get_layer(layer.name).get_weights()[0] * scale, beta - mean * scale])
        elif layer.get_weights():
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return plain
