"""Reading dense chains: what is folded answers as the graph does, and nothing is dropped in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import numpy_helper

from fmnist_convert.dense_chain import DenseChain, read_dense_chain
from fmnist_edge.dataset import load_split

RANDOM = np.random.default_rng(0)
HEAD = "values = Cast <to: int = 1> (image)  scaled = Mul (values, factor)  x = Reshape (scaled, flat)"


def graph(body: str, **constants: Any) -> onnx.ModelProto:
    """Return a classifier around some lines of a graph that go from `x`, [batch, 784], to `probabilities`."""
    known = {"factor": np.float32(1 / 255), "flat": np.array([-1, 784])}
    text = (
        '<ir_version: 7, opset_import: ["" : 13]> '
        f"chain (uint8[batch, 28, 28] image) => (float[batch, 10] probabilities) {{ {HEAD} {body} }}"
    )
    model = onnx.parser.parse_model(text)
    for name, value in {**known, **constants}.items():
        array = np.asarray(value)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def weights(*shape: int) -> np.ndarray:
    return (RANDOM.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)


def assert_same(chain: DenseChain | None, model: onnx.ModelProto) -> None:
    assert chain is not None
    images = load_split("train").images[:200]
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"image": images})[0]
    logits = chain.logits(images)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=1, keepdims=True), expected, atol=1e-5)


def test_matmul_add_relu_chains_of_two_hidden_layers() -> None:
    model = graph(
        "a = MatMul (x, k1) b = Add (a, b1) c = Relu (b) d = MatMul (c, k2) e = Add (b2, d) f = Relu (e) "
        "g = MatMul (f, k3) probabilities = Softmax <axis: int = 1> (g)",
        k1=weights(784, 32),
        b1=weights(32),
        k2=weights(32, 9),
        b2=weights(9),
        k3=weights(9, 10),
    )
    chain = read_dense_chain(model)
    assert_same(chain, model)
    assert chain is not None
    assert chain.widths == (784, 32, 9, 10)


def test_gemm_with_transposed_weights_as_pytorch_writes_it() -> None:
    model = graph(
        "a = Gemm <transB: int = 1> (x, k1, b1) b = Relu (a) c = Gemm <transB: int = 1, alpha: float = 0.5> (b, k2, b2)"
        " probabilities = Softmax (c)",
        k1=weights(16, 784),
        b1=weights(16),
        k2=weights(10, 16),
        b2=weights(10),
    )
    assert_same(read_dense_chain(model), model)


def test_batch_normalization_before_and_behind_relu_and_dropout_are_folded() -> None:
    model = graph(
        "a = MatMul (x, k1) b = BatchNormalization (a, gamma, beta, mean, variance) c = Relu (b) d = Dropout (c) "
        "e = Mul (d, gain) f = Sub (e, shift) g = MatMul (f, k2) probabilities = Softmax (g)",
        k1=weights(784, 20),
        k2=weights(20, 10),
        gamma=1 + weights(20),
        beta=weights(20),
        mean=weights(20),
        variance=np.square(weights(20)) + np.float32(0.1),
        gain=1 + weights(20),
        shift=weights(20),
    )
    assert_same(read_dense_chain(model), model)


def test_a_temperature_between_the_last_layer_and_softmax_is_folded() -> None:
    model = graph(
        "a = MatMul (x, k1) b = Relu (a) c = MatMul (b, k2) d = Mul (c, third) probabilities = Softmax (d)",
        k1=weights(784, 20),
        k2=20 * weights(20, 10),
        third=np.float32(1 / 3),
    )
    assert_same(read_dense_chain(model), model)


def test_a_scaling_of_each_pixel_and_an_inversion_are_folded() -> None:
    model = graph(
        "inverted = Sub (one, x) a = Div (inverted, deviations) b = MatMul (a, k1) c = Relu (b) d = MatMul (c, k2) "
        "probabilities = Softmax (d)",
        one=np.float32(1),
        deviations=1 + RANDOM.random(784).astype(np.float32),
        k1=weights(784, 20),
        k2=weights(20, 10),
    )
    assert_same(read_dense_chain(model), model)


@pytest.mark.parametrize(
    "line",
    [
        "y = Sigmoid (a)",
        "y = LeakyRelu (a)",
        "y = Clip (a, low, high)",
        "y = Mul (a, a)",
        "y = Div (low, a)",
        "y = Add (a, column)",
        "b = Transpose <perm: ints = [0, 1]> (a) y = Relu (b)",
    ],
)
def test_whatever_else_stands_between_the_layers_goes_the_general_way(line: str) -> None:
    model = graph(
        f"a = MatMul (x, k1) {line} c = MatMul (y, k2) probabilities = Softmax (c)",
        k1=weights(784, 20),
        k2=weights(20, 10),
        low=np.float32(0),
        high=np.float32(6),
        column=weights(20, 1),
    )
    assert read_dense_chain(model) is None


def test_relu_behind_the_last_layer_or_softmax_before_more_is_no_chain() -> None:
    constants = {"k1": weights(784, 20), "k2": weights(20, 10), "half": np.float32(0.5)}
    last = "a = MatMul (x, k1) b = Relu (a) c = MatMul (b, k2) "
    assert read_dense_chain(graph(f"{last} d = Relu (c) probabilities = Softmax (d)", **constants)) is None
    assert read_dense_chain(graph(f"{last} d = Softmax (c) probabilities = Mul (d, half)", **constants)) is None


def test_the_chain_of_the_shipped_original_is_the_network_of_keras(original: Any, chain: DenseChain) -> None:
    found = [array for layer in chain.layers for array in (layer.kernel, layer.bias)]
    for mine, theirs in zip(found, original.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs.astype(np.float64))


def test_a_channel_dimension_before_the_scaling_is_folded() -> None:
    text = """<ir_version: 7, opset_import: ["" : 13]>
chain (uint8[batch, 28, 28] image) => (float[batch, 10] probabilities) {
  raw = Reshape (image, channels) values = Cast <to: int = 1> (raw) scaled = Mul (values, factor)
  moved = Add (scaled, zero) x = Reshape (moved, flat) a = MatMul (x, k1) b = Relu (a) c = MatMul (b, k2)
  probabilities = Softmax (c)
}"""
    model = onnx.parser.parse_model(text)
    constants = {"channels": np.array([-1, 28, 28, 1]), "flat": np.array([-1, 784]), "zero": np.float32(0)}
    constants |= {"factor": np.float32(1 / 255), "k1": weights(784, 32), "k2": weights(32, 10)}
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    assert_same(read_dense_chain(model), model)
