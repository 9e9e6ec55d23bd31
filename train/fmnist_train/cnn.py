"""The photo model's network: a plain CNN on the picture itself, RGB, in a square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fmnist_edge.model_info import LABELS, OUTPUT_NAME
from fmnist_train.backend import keras

NAME: Final = "fmnist-photo"
DROPOUT: Final = 0.2  # of the pooled features, in training


def build_cnn(side: int, layers: Sequence[tuple[int, int]]) -> Any:
    """Return the freshly initialised network as it is saved: a keras.Model, not compiled.

    `layers` are the filters and the stride of each convolution.

    Input `picture`: uint8 [batch, side, side, 3], RGB, 0..255. Output: float32 [batch, 10], softmax probabilities in
    the order of LABELS. Between them 3x3 convolutions, each with batch normalization and ReLU; the mean over the last
    feature map; one dense layer. So the dense layer's column of a class, times the feature map, shows where in the
    picture that class was seen (class activation mapping, Zhou et al. 2016). Weights are drawn from Keras's global
    seed.
    """
    picture = keras.Input(shape=(side, side, 3), dtype="uint8", name="picture")
    signal = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(picture)
    for number, (filters, stride) in enumerate(layers, 1):
        signal = _convolution(signal, filters, stride, number)
    signal = keras.layers.GlobalAveragePooling2D(name="pooling")(signal)
    signal = keras.layers.Dropout(DROPOUT, name="dropout")(signal)
    probabilities = keras.layers.Dense(len(LABELS), activation="softmax", name=OUTPUT_NAME)(signal)
    return keras.Model(picture, probabilities, name=NAME)


def _convolution(signal: Any, filters: int, stride: int, number: int) -> Any:
    signal = keras.layers.Conv2D(
        filters,
        3,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"conv-{number}",
    )(signal)
    signal = keras.layers.BatchNormalization(name=f"norm-{number}")(signal)
    return keras.layers.ReLU(name=f"relu-{number}")(signal)


def build_cnn_training_model(model: Any) -> Any:
    """Return a second model on the very layers of `model` that takes float32 pictures, 0..255, from augmentation."""
    picture = keras.Input(shape=model.input_shape[1:], dtype="float32", name="picture")
    signal = picture
    for layer in model.layers[1:]:
        signal = layer(signal)
    return keras.Model(picture, signal, name=f"{model.name}-training")


def partial_label_loss(smoothing: float, no_garment_weight: float) -> Any:
    """Return a loss for (accepted float32 [n, 10] of 0 and 1, probabilities [n, 10]) -> [n], in nats.

    -log of the summed probability of the accepted classes (Jin & Ghahramani 2002); with `smoothing` (0..1), that share
    of the weight goes to the cross-entropy from the uniform distribution, as label smoothing does. A row of accepted
    that is all 0 (no garment) has the uniform distribution as its target, with weight `no_garment_weight`.
    """
    ops = keras.ops

    def loss(accepted: Any, probabilities: Any) -> Any:
        logs = ops.log(ops.clip(probabilities, 1e-7, 1.0))
        uniform = -ops.mean(logs, axis=-1)
        right = -ops.log(ops.clip(ops.sum(probabilities * accepted, axis=-1), 1e-7, 1.0))
        garment = ops.max(accepted, axis=-1)
        labelled = (1 - smoothing) * right + smoothing * uniform
        return garment * labelled + (1 - garment) * no_garment_weight * (uniform - ops.log(float(len(LABELS))))

    return loss
