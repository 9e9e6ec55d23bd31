"""The general way: integers that no CPU saturates, and as few nodes in float as the limits take."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import numpy_helper

from fmnist_convert.parity import DEFAULT_LIMITS, Limits
from fmnist_convert.quantize import Pictures, StaticInt8, quantize_statically, run
from fmnist_edge.dataset import load_split
from fmnist_edge.errors import GateError

BODY = """
  values = Cast <to: int = 1> (image)
  scaled = Mul (values, factor)
  pixels = Reshape (scaled, shape)
  a = Conv <kernel_shape: ints = [3, 3], strides: ints = [2, 2], pads: ints = [1, 1, 1, 1]> (pixels, k1, b1)
  b = Relu (a)
  c = Conv <kernel_shape: ints = [3, 3], strides: ints = [2, 2], pads: ints = [1, 1, 1, 1]> (b, k2, b2)
  d = Relu (c)
  e = MaxPool <kernel_shape: ints = [2, 2], strides: ints = [1, 1]> (d)
  f = Flatten <axis: int = 1> (e)
"""


def fitted_cnn(loudest: float = 1.0) -> onnx.ModelProto:
    """Return a CNN of random features and a fitted last layer.

    One channel behind the first convolution is `loudest` times as loud, and the second one makes up for it: the same
    function, but one scale for the tensor between them does not fit both.
    """
    random = np.random.default_rng(0)
    gains = np.ones(8)
    gains[0] = loudest
    kernels = [random.normal(size=(8, 1, 3, 3)) / 3, random.normal(size=(12, 8, 3, 3)) / 6]
    constants = {
        "factor": np.float32(1 / 255),
        "shape": np.array([-1, 1, 28, 28]),
        "k1": kernels[0] * gains[:, None, None, None],
        "b1": 0.1 * gains,
        "k2": kernels[1] / gains[:, None, None],
        "b2": np.full(12, 0.1),
    }
    split = load_split("train")
    images, labels = split.images[:3000], split.labels[:3000]
    features = run(graph(f"{BODY} probabilities = Identity (f)", constants), images)
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    gram = inputs.T @ inputs
    ridge = 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge, inputs.T @ (10 * np.eye(10)[labels]))
    head = {"k3": weights[:-1], "b3": weights[-1]}
    return graph(f"{BODY} g = Gemm (f, k3, b3) probabilities = Softmax (g)", constants | head)


def graph(body: str, constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        '<ir_version: 7, opset_import: ["" : 13]> '
        f"cnn (uint8[batch, 28, 28] image) => (float[batch, classes] probabilities) {{ {body} }}"
    )
    for name, value in constants.items():
        array = np.asarray(value)
        kind = np.float32 if array.dtype.kind == "f" else np.int64
        model.graph.initializer.append(numpy_helper.from_array(array.astype(kind), name))
    return model


def quantized(model: onnx.ModelProto, limits: Limits = DEFAULT_LIMITS) -> StaticInt8:
    train, validation = load_split("train"), load_split("validation")
    judging = Pictures(validation.images[:1000], validation.labels[:1000])
    return quantize_statically(model, train.images[:300], judging, limits)


@pytest.fixture(scope="module")
def plain() -> StaticInt8:
    return quantized(fitted_cnn(), Limits(1, 0.95, 1, 1))


def test_no_pair_of_weights_can_saturate_wherever_they_meet(plain: StaticInt8) -> None:
    tensors = [numpy_helper.to_array(tensor) for tensor in plain.model.graph.initializer]
    kernels = [tensor for tensor in tensors if tensor.dtype == np.int8 and tensor.ndim > 1]
    assert len(kernels) == 3
    assert max(np.abs(kernel.astype(int)).max() for kernel in kernels) <= 64


def test_the_file_has_default_domain_operators_and_the_image_is_its_own_quantized_form(plain: StaticInt8) -> None:
    model = plain.model
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    assert {node.domain for node in model.graph.node} == {""}
    assert "Cast" not in {node.op_type for node in model.graph.node}
    last = [node.op_type for node in model.graph.node if node.op_type in ("Softmax", "Gemm", "QuantizeLinear")][-2:]
    assert last == ["Gemm", "Softmax"]  # the logits are not rounded


def test_an_answer_depends_neither_on_the_batch_nor_on_the_threads(plain: StaticInt8) -> None:
    images = load_split("test").images[:40]
    together = run(plain.model, images)
    alone = np.concatenate([run(plain.model, images[at : at + 1]) for at in range(len(images))])
    np.testing.assert_array_equal(alone, together)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(plain.model.SerializeToString(), options)
    np.testing.assert_array_equal(session.run(None, {"image": images})[0], together)


CONTROLLED = Limits(0.02, 0.94, 0.05, 0.05)


@pytest.fixture(scope="module")
def controlled() -> StaticInt8:
    return quantized(fitted_cnn(loudest=500), CONTROLLED)


def test_the_tensors_that_cost_most_stay_in_float_and_nothing_more(controlled: StaticInt8) -> None:
    assert quantized(fitted_cnn(loudest=500), Limits(1, 0, 1, 1)).parity.agreement < 0.5
    assert controlled.kept_in_float == ("output of Conv_1", "weights of Conv_2")
    assert controlled.parity.agreement >= CONTROLLED.min_agreement
    kernels = [tensor for tensor in controlled.model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    assert len([kernel for kernel in kernels if len(kernel.dims) > 1]) == 2


def test_limits_that_no_int8_form_holds_are_an_error() -> None:
    with pytest.raises(GateError, match="no int8 form holds the limits"):
        quantized(fitted_cnn(), Limits(0, 1, 0, 0))


def test_the_same_network_gives_the_same_bytes_in_another_process(controlled: StaticInt8) -> None:
    program = (
        "import hashlib; from tests.convert.test_quantize import *; "
        "model = quantized(fitted_cnn(500), CONTROLLED).model; "
        "print(hashlib.sha256(model.SerializeToString()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == hashlib.sha256(controlled.model.SerializeToString()).hexdigest()
