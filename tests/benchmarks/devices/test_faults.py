"""The planted faults break the bounds that conversion keeps, and in 16-bit sums they give other answers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from fmnist_bench.devices.faults import FAULTS
from fmnist_convert.integer_mlp import IntegerMlp, read_onnx
from fmnist_convert.rounding import PAIR_LIMIT, keeps_bounds, pair_sums
from fmnist_edge.dataset import load_split
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER


@pytest.fixture(scope="module")
def shipped() -> IntegerMlp:
    return read_onnx(onnx.load(EMBEDDED_CLASSIFIER))


def saturating_sums(network: IntegerMlp, images: np.ndarray) -> np.ndarray:
    """Add products as AVX2 does: pairs of them in a saturating 16-bit integer."""
    products = images.reshape(len(images), -1, 1).astype(np.int32) * network.layers[0].kernel.values
    pairs = products[:, 0::2] + products[:, 1::2]
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=1)


def exact_sums(network: IntegerMlp, images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.int32) @ network.layers[0].kernel.values.astype(np.int32)


def test_the_shipped_classifier_keeps_both_bounds_and_each_fault_breaks_one(shipped: IntegerMlp) -> None:
    assert keeps_bounds(shipped.layers[0].kernel.values)
    wide, deep = (FAULTS[name](shipped).layers[0].kernel.values for name in ("full-range", "minus-128"))
    assert pair_sums(wide).max() > PAIR_LIMIT
    assert wide.min() >= -127
    assert deep.min() == -128


def test_saturation_changes_the_sums_of_the_full_range_weights_and_of_no_shipped_one(shipped: IntegerMlp) -> None:
    images = load_split("test").images[:100]
    assert np.array_equal(saturating_sums(shipped, images), exact_sums(shipped, images))
    wide = FAULTS["full-range"](shipped)
    assert not np.array_equal(saturating_sums(wide, images), exact_sums(wide, images))


def test_without_saturation_full_range_weights_are_the_same_network(shipped: IntegerMlp) -> None:
    images = load_split("test").images[:500]
    labels = [network.logits(images).argmax(axis=1) for network in (shipped, FAULTS["full-range"](shipped))]
    assert np.mean(labels[0] == labels[1]) > 0.98
