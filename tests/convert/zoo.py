"""Networks as people make them, made by the tests: random features, and a last layer fitted to training images.

Fitting the last layer by least squares takes milliseconds and gets most images right, so that the tests need no
training by gradients to have networks that mean something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fmnist_edge.dataset import load_split

FITTED = 3000  # training images
SHARPNESS = 8.0  # of the logits: least squares gives values in 0..1
RIDGE = 1e-3


@dataclass(frozen=True)
class Made:
    """A Keras network, how its owner scales images, and what that is called."""

    model: Any
    scaled: Callable[[Any], Any]
    """float 0..1 [n, 28, 28] to what the network takes."""
    form: str
    gives: str = "probabilities"


def probabilities_of(values: Any, gives: str) -> Any:
    """Return what a network gives as probabilities, computed here and not by the code under test."""
    values = np.asarray(values, np.float64)
    if gives == "logits":
        values = np.exp(values - values.max(axis=1, keepdims=True))
    return values if gives == "probabilities" else values / values.sum(axis=1, keepdims=True)


def fit_last_layer(features: Any, labels: Any) -> tuple[Any, Any]:
    """Return kernel [n, 10] and bias [10] that separate the classes of `features` [images, n]."""
    wide = np.asarray(features, np.float64).reshape(len(labels), -1)
    mean, target = wide.mean(axis=0), np.eye(10)[labels] - 0.1
    centred = wide - mean
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram) * 100
    kernel = np.linalg.solve(gram, centred.T @ target) * SHARPNESS
    return kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)


def _images() -> tuple[Any, Any]:
    split = load_split("train")
    return (split.images[:FITTED] / 255).astype(np.float32), split.labels[:FITTED]


def plain(images: Any) -> Any:
    return images


def channel(images: Any) -> Any:
    return images[..., None]


def flat(images: Any) -> Any:
    return images.reshape(-1, 784)


@cache
def network(name: str) -> Made:
    """Return one of BUILDERS, fitted."""
    import keras

    keras.utils.set_random_seed(7)
    made = BUILDERS[name](keras, keras.layers)
    images, labels = _images()
    last = next(layer for layer in reversed(made.model.layers) if isinstance(layer, keras.layers.Dense))
    given = made.scaled(images)
    extractor = keras.Model(made.model.inputs[0], last.input)
    features = [np.asarray(extractor(given[at : at + 500], training=False)) for at in range(0, len(given), 500)]
    kernel, bias = fit_last_layer(np.concatenate(features), labels)
    last.set_weights([kernel, bias] if last.use_bias else [kernel])
    return made


def _dense(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Flatten(), L.Dense(256, "relu"), L.Dense(10)]
    return Made(keras.Sequential([keras.Input((28, 28)), *layers]), plain, "0..1", "logits")


def _dense_784(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Dense(512, "relu"), L.Dropout(0.2), L.Dense(10, "softmax")]
    return Made(keras.Sequential([keras.Input((784,)), *layers]), flat, "0..1")


def _deep_batch_norm(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Flatten(), L.Dense(256, use_bias=False), L.BatchNormalization(), L.ReLU(), L.Dropout(0.3)]
    layers += [L.Dense(256, "relu"), L.Dense(10), L.Softmax()]
    return Made(keras.Sequential([keras.Input((28, 28, 1)), *layers]), channel, "0..1")


def _fixed_batch(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Flatten(), L.Dense(256, "relu"), L.Dense(10, "softmax")]
    return Made(keras.Sequential([keras.Input(batch_shape=(None, 28, 28)), *layers]), plain, "0..1")


def _cnn(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Conv2D(16, 3, activation="relu"), L.MaxPooling2D(), L.Conv2D(32, 3, activation="relu")]
    layers += [L.MaxPooling2D(), L.Flatten(), L.Dropout(0.5), L.Dense(10, "softmax")]
    return Made(keras.Sequential([keras.Input((28, 28, 1)), *layers]), channel, "0..1")


def _augmented(keras: Any, L: Any) -> Made:  # noqa: N803
    augmentation = keras.Sequential([L.RandomFlip("horizontal"), L.RandomRotation(0.1)], name="augmentation")
    layers = [L.Conv2D(16, 5, strides=2, padding="same", kernel_regularizer="l2"), L.BatchNormalization()]
    layers += [L.Activation("relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(10)]
    return Made(keras.Sequential([keras.Input((28, 28, 1)), augmentation, *layers]), channel, "0..1", "logits")


def _separable(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.ZeroPadding2D(1), L.SeparableConv2D(24, 3, activation="elu"), L.SpatialDropout2D(0.1)]
    layers += [L.DepthwiseConv2D(3, activation="selu"), L.AveragePooling2D(4), L.Flatten(), L.Dense(10, "softmax")]
    return Made(keras.Sequential([keras.Input((28, 28, 1)), *layers]), channel, "0..1")


def _branches(keras: Any, L: Any) -> Made:  # noqa: N803
    given = keras.Input((28, 28), name="picture")
    pixels = L.Flatten()(given)
    joined = L.Concatenate()([L.Dense(128, "relu")(pixels), L.Dense(128, "tanh")(pixels)])
    return Made(keras.Model(given, L.Dense(10, "softmax")(joined)), plain, "0..1")


def _residual(keras: Any, L: Any) -> Made:  # noqa: N803
    given = keras.Input((28, 28, 1))
    first = L.Conv2D(16, 3, padding="same", activation="relu")(given)
    second = L.Conv2D(16, 3, padding="same")(L.BatchNormalization()(first))
    pooled = L.MaxPooling2D(4)(L.ReLU()(L.Add()([first, second])))
    return Made(keras.Model(given, L.Dense(10, "softmax")(L.Flatten()(pooled))), channel, "0..1")


def _rescaling(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Rescaling(1 / 127.5, offset=-1), L.Reshape((28, 28, 1)), L.Conv2D(16, 5, strides=2)]
    layers += [L.LeakyReLU(negative_slope=0.1), L.MaxPooling2D(), L.Flatten(), L.Dense(10, "softmax")]
    return Made(keras.Sequential([keras.Input((28, 28)), *layers]), lambda images: images * 255, "0..255")


def _bytes(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Rescaling(1 / 255), L.Flatten(), L.Dense(256, "relu"), L.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((28, 28, 1), dtype="uint8"), *layers])
    return Made(model, lambda images: np.round(images * 255).astype(np.uint8)[..., None], "0..255")


def _normalization(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Normalization(mean=72.9, variance=8110.0), L.Flatten(), L.Dense(256, "relu"), L.Dense(10, "softmax")]
    return Made(keras.Sequential([keras.Input((28, 28)), *layers]), lambda images: images * 255, "0..255")


def _activations(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Flatten(), L.Dense(128, "gelu"), L.Dense(128, "swish"), L.Dense(128), L.PReLU()]
    layers += [L.LayerNormalization(), L.Dense(128, "softplus"), L.Dense(10, "softmax")]
    return Made(keras.Sequential([keras.Input((28, 28)), *layers]), plain, "0..1")


def _temperature(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Flatten(), L.Dense(256, "relu", use_bias=False), L.Dense(10), L.Rescaling(1 / 3), L.Softmax()]
    return Made(keras.Sequential([keras.Input((28, 28)), *layers]), plain, "0..1")


def _half_precision(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Conv2D(8, 3, activation="relu", dtype="mixed_float16"), L.MaxPooling2D(dtype="mixed_float16")]
    layers += [L.Flatten(dtype="mixed_float16"), L.Dense(10, dtype="mixed_float16"), L.Softmax(dtype="float32")]
    return Made(keras.Sequential([keras.Input((28, 28, 1)), *layers]), channel, "0..1")


def _scores(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Flatten(), L.Dense(256, "relu"), L.Dense(10, "sigmoid")]
    return Made(keras.Sequential([keras.Input((28, 28)), *layers]), plain, "0..1", "scores")


def _inverted(keras: Any, L: Any) -> Made:  # noqa: N803
    layers = [L.Conv2D(16, 5, strides=2, activation="relu"), L.Flatten(), L.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    return Made(model, lambda images: 1 - images[..., None], "0..1-inverted")


def _nested(keras: Any, L: Any) -> Made:  # noqa: N803
    inner = keras.Sequential([keras.Input((28, 28, 1)), L.Conv2D(16, 3, activation="relu"), L.MaxPooling2D()])
    return Made(keras.Sequential([inner, L.Flatten(), L.Dense(10, "softmax")]), channel, "0..1")


def _operations(keras: Any, L: Any) -> Made:  # noqa: N803
    given = keras.Input((28, 28))
    hidden = keras.ops.relu(L.Dense(256)(L.Flatten()(given / 255.0)))
    return Made(keras.Model(given, keras.ops.softmax(L.Dense(10)(hidden))), lambda images: images * 255, "0..255")


BUILDERS: dict[str, Callable[[Any, Any], Made]] = {
    "dense": _dense,
    "dense-784": _dense_784,
    "deep-batch-norm": _deep_batch_norm,
    "fixed-batch": _fixed_batch,
    "cnn": _cnn,
    "augmented": _augmented,
    "separable": _separable,
    "branches": _branches,
    "residual": _residual,
    "rescaling": _rescaling,
    "bytes": _bytes,
    "normalization": _normalization,
    "activations": _activations,
    "temperature": _temperature,
    "half-precision": _half_precision,
    "scores": _scores,
    "inverted": _inverted,
    "nested": _nested,
    "operations": _operations,
}


@dataclass(frozen=True)
class TorchLike:
    """An .onnx file as PyTorch's exporter writes it: NCHW, named input and output."""

    model: onnx.ModelProto
    kernels: tuple[Any, Any]
    """Of the convolution, float32 [16, 1, 5, 5], and its bias."""
    last: tuple[Any, Any]
    """Of the last layer, float32 [16 * 144, 10], and its bias."""


def conv_features(images: Any, kernels: tuple[Any, Any]) -> Any:
    """Return relu(convolution with stride 2) by plain numpy: [n, 16 * 144] for images [n, 28, 28]."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (5, 5), axis=(1, 2))[:, ::2, ::2]
    sums = np.einsum("nhwij,oij->nohw", windows, kernels[0][:, 0], optimize=True) + kernels[1][:, None, None]
    return np.maximum(sums, 0).reshape(len(images), -1).astype(np.float32)


@cache
def torch_weights() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return the weights of a small convolutional network for images of -1..1."""
    random = np.random.default_rng(3)
    kernels = (random.normal(0, 0.3, (16, 1, 5, 5)).astype(np.float32), random.normal(0, 0.1, 16).astype(np.float32))
    images, labels = _images()
    return kernels, fit_last_layer(conv_features(images * 2 - 1, kernels), labels)


def torch_like(
    *, batch: int | str = "N", opset: int = 17, flatten: str = "flatten", log: bool = False, second: bool = False
) -> onnx.ModelProto:
    """Return the network as an .onnx model; `flatten` is "flatten", "reshape" (fixed sides) or "computed"."""
    kernels, (last, bias) = torch_weights()
    tensors = {"conv.weight": kernels[0], "conv.bias": kernels[1], "fc.weight": last.T.copy(), "fc.bias": bias}
    nodes = [
        helper.make_node("Conv", ["input", "conv.weight", "conv.bias"], ["c"], kernel_shape=[5, 5], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
    ]
    if flatten == "flatten":
        nodes.append(helper.make_node("Flatten", ["r"], ["f"], axis=1))
    elif flatten == "reshape":
        tensors["shape"] = np.array([batch, -1], np.int64)
        nodes.append(helper.make_node("Reshape", ["r", "shape"], ["f"]))
    else:
        tensors |= {"zero": np.array([0], np.int64), "rest": np.array([-1], np.int64)}
        nodes += [
            helper.make_node("Shape", ["r"], ["s"]),
            helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
            helper.make_node("Concat", ["n", "rest"], ["t"], axis=0),
            helper.make_node("Reshape", ["r", "t"], ["f"]),
        ]
    nodes.append(helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["g" if log else "output"], transB=1))
    if log:
        nodes.append(helper.make_node("LogSoftmax", ["g"], ["output"], axis=1))
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, 10])]
    if second:
        outputs.append(helper.make_tensor_value_info("f", TensorProto.FLOAT, [batch, 2304]))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 1, 28, 28])
    initializers = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "main_graph", [given], outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
