"""Dense chains that know the dataset a little, made in a second, and what a file of integers is checked with."""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fmnist_convert.dense_chain import Dense, DenseChain
from fmnist_convert.integer_mlp import IMAGE_SCALE, IntegerKernel, IntegerLayer, IntegerMlp
from fmnist_edge.dataset import load_split


def fitted_chain(*hidden: int, seed: int = 0) -> DenseChain:
    """Return a chain of 784, the given widths, and 10, right for some three quarters of the images."""
    random = np.random.default_rng(seed)
    split = load_split("train")
    images, labels = split.images[:4000], split.labels[:4000]
    values, layers = images.reshape(len(images), -1) / 255, []
    for width in hidden:
        kernel = random.normal(size=(values.shape[1], width)) / np.sqrt(values.shape[1])
        bias = -np.quantile(values @ kernel, 0.4, axis=0)
        layers.append(Dense(kernel, bias))
        values = np.maximum(values @ kernel + bias, 0)
    inputs = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    gram = inputs.T @ inputs
    ridge = 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge, inputs.T @ (10 * np.eye(10)[labels]))
    return DenseChain((*layers, Dense(weights[:-1], weights[-1])))


def keeps_bounds(values: np.ndarray) -> bool:
    """Tell whether no pair of products of an int8 kernel [inputs, outputs] can saturate 16 bits on any CPU."""
    pairs = values.astype(int).reshape(-1, 2, values.shape[1])
    largest = max(np.maximum(sign * pairs, 0).sum(axis=1).max() for sign in (1, -1))
    return bool(255 * largest <= 2**15 - 1 and values.min() > -128)


def with_inner_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that also outputs the quantized hidden layer and the logits, for bit comparisons."""
    result = copy.deepcopy(model)
    units = next(tensor.dims[1] for tensor in model.graph.initializer if tensor.name == "hidden_kernel")
    for name, kind, width in (("hidden_quantized", TensorProto.UINT8, units), ("logits", TensorProto.FLOAT, 10)):
        result.graph.output.append(helper.make_tensor_value_info(name, kind, ["batch", width]))
    return result


def read_integers(model: onnx.ModelProto) -> IntegerMlp:
    """Return the integers of a file with one hidden layer that `build_onnx` made."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    layers = [
        IntegerLayer(
            IntegerKernel(tensors[f"{name}_kernel"], tensors[f"{name}_kernel_scale"]), tensors[f"{name}_bias"], scale
        )
        for name, scale in (("hidden", IMAGE_SCALE), ("output", np.float32(tensors["hidden_scale"])))
    ]
    return IntegerMlp(tuple(layers))
