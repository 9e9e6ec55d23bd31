"""The shipped photo model leaves no runtime a choice: its integers are stated, not left to a fusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from fmnist_convert.int8_graph import read_int8
from fmnist_convert.photo.builder import GraphBuilder
from fmnist_convert.photo.integer_steps import IntegerSteps, _exact_factors
from fmnist_convert.photo.perceptron_graph import probabilities
from fmnist_convert.photo.scenes import draw_scenes
from fmnist_convert.photo.segmenter_graph import segment
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL
from fmnist_edge.session import open_session

OUTPUTS = ["probabilities", "image", "mask"]


@pytest.fixture(scope="module")
def shipped() -> onnx.ModelProto:
    return onnx.load(EMBEDDED_PHOTO_MODEL)


@pytest.fixture(scope="module")
def scenes(test_split: Any) -> list[Any]:
    return draw_scenes(test_split.images[500:520], 3)


def test_graph_optimizations_change_no_bit_of_any_output(scenes: list[Any]) -> None:
    optimized, plain = (open_session(EMBEDDED_PHOTO_MODEL, optimized=flag) for flag in (True, False))
    for scene in scenes:
        for mine, theirs in zip(*(s.run(OUTPUTS, {"photo": scene}) for s in (optimized, plain)), strict=True):
            assert np.array_equal(mine, theirs)


def test_the_evaluator_of_the_onnx_standard_gives_the_same_label(shipped: onnx.ModelProto, scenes: list[Any]) -> None:
    """It sums convolutions in floats, so that ties of rounding may fall otherwise: labels alone are promised."""
    session, evaluator = open_session(EMBEDDED_PHOTO_MODEL), ReferenceEvaluator(shipped)
    for scene in scenes[:3]:
        found, expected = (runner.run(OUTPUTS, {"photo": scene}) for runner in (session, evaluator))
        np.testing.assert_allclose(found[0], expected[0], atol=0.01)
        assert found[0].argmax() == expected[0].argmax()
        assert np.mean(np.abs(found[2].astype(int) - expected[2]) > 1) < 0.05
    assert found[2].any()


def test_nothing_in_it_waits_to_be_fused(shipped: onnx.ModelProto) -> None:
    operators = {node.op_type for node in shipped.graph.node}
    assert not operators & {"QuantizeLinear", "DequantizeLinear", "Conv", "Gemm"}
    assert {"QLinearConv", "ConvInteger", "MatMulInteger"} <= operators


def test_every_result_is_read_since_old_runtimes_mishandle_those_that_are_not(shipped: onnx.ModelProto) -> None:
    read = {name for node in shipped.graph.node for name in node.input} | {o.name for o in shipped.graph.output}
    assert [name for node in shipped.graph.node for name in node.output if name not in read] == []


def test_the_perceptron_in_integers_answers_as_the_classifier_file_does_to_the_bit(test_split: Any) -> None:
    g = GraphBuilder()
    answer = probabilities(g, "image", read_int8(onnx.load(EMBEDDED_CLASSIFIER)), "classifier")
    model = g.model(
        "perceptron",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [28, 28])],
        [helper.make_tensor_value_info(answer, TensorProto.FLOAT, [1, 10])],
        13,
        7,
    )
    stated = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    fused = open_session(EMBEDDED_CLASSIFIER)
    for image in test_split.images[:500]:
        expected = fused.run(None, {"image": image[None]})[0]
        assert np.array_equal(stated.run(None, {"image": image})[0], expected)


def test_no_order_of_additions_and_no_fused_multiply_add_can_change_a_skip_addition() -> None:
    first, second = np.meshgrid(np.arange(256.0), np.arange(256.0))
    for factors in ([0.61803, 0.9], [1.7, 0.0123], [3.9, 3.9], [1e-3, 1e-4]):
        a, b = _exact_factors(np.array(factors))
        np.testing.assert_allclose([a, b], factors, atol=2e-4)
        shift = 131 - 97 * a - 13 * b
        exact = first * a + second * b + shift
        assert np.array_equal(exact.astype(np.float32).astype(np.float64), exact)
        x, y, c = (np.float32(value) for value in (a, b, shift))
        narrow = [value.astype(np.float32) for value in (first, second)]
        assert np.array_equal((narrow[0] * x + narrow[1] * y) + c, exact)
        assert np.array_equal(narrow[0] * x + (narrow[1] * y + c), exact)


def test_a_segmenter_without_the_range_of_a_layer_is_refused(tmp_path: Path) -> None:
    from fmnist_convert.original import open_segmenter

    original = open_segmenter(Path(__file__).parents[3] / "train" / "artifacts" / "fmnist-photo-segmenter.keras")
    ranges = {name: tuple(pair) for name, pair in original.record["ranges"].items() if name != "down1a_relu"}
    with pytest.raises(ModelError, match="no range for what its layer 'down1a_relu' reads"):
        segment(GraphBuilder(), "thumbnail", original.model, IntegerSteps(ranges))
