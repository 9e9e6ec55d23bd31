"""The int8 file computes exactly the integers that plain numpy computes from its constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from fmnist_convert.dense_chain import DenseChain
from fmnist_convert.integer_mlp import build_onnx
from fmnist_convert.quantize_mlp import CALIBRATION, CHOICE, REFINEMENT, equalize, pair_units
from fmnist_convert.rounding import smallest_scales
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER

from .chains import keeps_bounds, with_inner_outputs


@pytest.fixture(scope="module")
def shipped() -> onnx.ModelProto:
    return onnx.load(EMBEDDED_CLASSIFIER)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def integer_oracle(c: dict[str, np.ndarray], images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute hidden layer and logits with numpy integers, from nothing but the constants in the file."""
    pixels = images.reshape(len(images), -1).astype(np.int32)
    sums = pixels @ c["hidden_kernel"].astype(np.int32) + c["hidden_bias"]
    factor = c["image_scale"] * c["hidden_kernel_scale"] / c["hidden_scale"]
    hidden = np.clip(np.rint(sums.astype(np.float32) * factor), 0, 255).astype(np.uint8)
    sums = hidden.astype(np.int32) @ c["output_kernel"].astype(np.int32) + c["output_bias"]
    return hidden, sums.astype(np.float32) * (c["hidden_scale"] * c["output_kernel_scale"])


@pytest.mark.parametrize("source", ["test_split", "stress_images"])
def test_hidden_layer_and_logits_equal_plain_numpy_integers_to_the_bit(
    shipped: onnx.ModelProto, source: str, request: pytest.FixtureRequest
) -> None:
    images = getattr(request.getfixturevalue(source), "images", request.getfixturevalue(source))
    session = onnxruntime.InferenceSession(with_inner_outputs(shipped).SerializeToString())
    hidden, logits = session.run(["hidden_quantized", "logits"], {"image": images})
    expected_hidden, expected_logits = integer_oracle(constants(shipped), images)
    assert np.array_equal(hidden, expected_hidden)
    assert np.array_equal(logits, expected_logits)


def test_onnxruntime_fuses_the_file_to_four_nodes_with_or_without_inner_outputs(
    shipped: onnx.ModelProto, tmp_path: Any
) -> None:
    for number, model in enumerate((shipped, with_inner_outputs(shipped))):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / f"{number}.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(model.SerializeToString(), options)
        nodes = onnx.load(tmp_path / f"{number}.onnx").graph.node
        assert [node.op_type for node in nodes] == ["Flatten", "QGemm", "QGemm", "Softmax"]


def test_no_pair_of_weights_can_saturate_and_none_is_minus_128(shipped: onnx.ModelProto) -> None:
    kernels = constants(shipped)
    assert keeps_bounds(kernels["hidden_kernel"])
    assert keeps_bounds(kernels["output_kernel"])


def test_full_range_weights_would_break_the_bound(chain: DenseChain) -> None:
    kernel = chain.layers[0].kernel
    assert not keeps_bounds(np.rint(kernel / (np.abs(kernel).max(axis=0) / 127)).astype(np.int8))


def test_the_file_uses_default_domain_operators_opset_13_and_ir_7(shipped: onnx.ModelProto) -> None:
    assert {node.domain for node in shipped.graph.node} == {""}
    assert [(o.domain, o.version) for o in shipped.opset_import] == [("", 13)]
    assert shipped.ir_version == 7


def test_an_empty_batch_gives_an_empty_answer(shipped: onnx.ModelProto) -> None:
    session = onnxruntime.InferenceSession(shipped.SerializeToString())
    assert session.run(None, {"image": np.zeros((0, 28, 28), np.uint8)})[0].shape == (0, 10)


def test_the_integer_network_and_its_graph_agree(quantized: Any, test_split: Any) -> None:
    session = onnxruntime.InferenceSession(with_inner_outputs(build_onnx(quantized.network)).SerializeToString())
    images = test_split.images[:500]
    (logits,) = session.run(["logits"], {"image": images})
    assert np.array_equal(logits, quantized.network.logits(images))


def test_equalizing_the_hidden_units_does_not_change_the_function(chain: DenseChain, test_split: Any) -> None:
    network, images = chain, test_split.images[:200]
    equalized = equalize(network, images, 0.75)
    assert not np.allclose(equalized.layers[1].kernel, network.layers[1].kernel)
    np.testing.assert_allclose(equalized.logits(images), network.logits(images), atol=1e-9)


def test_pairing_the_hidden_units_changes_their_order_alone_and_frees_the_last_layer_of_the_bound(
    chain: DenseChain, test_split: Any
) -> None:
    network, images = chain, test_split.images[:200]
    paired = pair_units(network)
    np.testing.assert_allclose(paired.logits(images), network.logits(images), atol=1e-9)
    kernels = [one.layers[1].kernel for one in (network, paired)]
    assert sorted(map(tuple, kernels[0].tolist())) == sorted(map(tuple, kernels[1].tolist()))
    loss = [(smallest_scales(kernel) / smallest_scales(kernel, bounded=False)).max() for kernel in kernels]
    assert loss[1] < loss[0]
    assert loss[1] < 1.02


def test_the_choice_sees_training_images_that_nothing_else_has_seen() -> None:
    fitted, choice = {*CALIBRATION.tolist(), *REFINEMENT.tolist()}, set(CHOICE.tolist())
    assert not fitted & choice
    assert fitted | choice == set(range(55_000))
