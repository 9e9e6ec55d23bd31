"""The quantization study: its ways are what they say, and its figures those of the formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from fmnist_convert.int8_graph import build_int8
from fmnist_convert.network import Network, read_network
from fmnist_convert.quantize import CALIBRATION
from fmnist_convert.rounding import keeps_bounds
from fmnist_convert.study.by_onnxruntime import TOOL_WAYS, quantize_by_tool
from fmnist_convert.study.measuring import decibels, hidden_tensor, measure_kept
from fmnist_convert.study.plain_rounding import SEVEN_BITS, round_plainly
from fmnist_edge.dataset import Split, load_split


@pytest.fixture(scope="module")
def network(fp32: Any) -> Network:
    return read_network(fp32)


@pytest.fixture(scope="module")
def calibration() -> np.ndarray:
    return load_split("train").images[CALIBRATION][:5_000]


@pytest.fixture(scope="module")
def few() -> Split:
    split = load_split("validation")
    return Split(split.images[:1000], split.labels[:1000])


def test_only_seven_bits_and_wider_scales_keep_the_pair_bound(network: Network, calibration: np.ndarray) -> None:
    kept = {
        name: keeps_bounds(integers.hidden_kernel.values) and keeps_bounds(integers.kernel.values)
        for name, integers in {
            "layer": round_plainly(network, calibration, per_channel=False),
            "channel": round_plainly(network, calibration),
            "bounded": round_plainly(network, calibration, bounded=True),
            "7 bits": round_plainly(network, calibration, limit=SEVEN_BITS),
        }.items()
    }
    assert kept == {"layer": False, "channel": False, "bounded": True, "7 bits": True}


def test_decibels_are_ten_times_the_logarithm_of_the_energies() -> None:
    signal = np.full((2, 5), 10.0)
    assert decibels(signal, signal + 1) == pytest.approx(20)
    assert decibels(signal, signal - 0.1) == pytest.approx(40)


def test_the_float_graph_keeps_everything_and_the_shipped_way_most(
    fp32: Any, network: Network, quantized: Any, few: Split
) -> None:
    images = load_split("train").images[CALIBRATION]
    exact = measure_kept(fp32, network, few)
    assert (exact.agreement, exact.gap_error) == (1.0, pytest.approx(0, abs=1e-9))
    assert min(exact.hidden_noise, exact.logit_noise) > 100
    shipped = measure_kept(build_int8(quantized.network), quantized.origin, few)
    plain = measure_kept(build_int8(round_plainly(network, images, bounded=True)), network, few)
    assert shipped.gap_error < plain.gap_error / 2
    assert shipped.logit_noise > plain.logit_noise > 20
    assert shipped.hidden_noise > plain.hidden_noise > 20
    assert shipped.agreement > 0.995


@pytest.mark.parametrize("way", [TOOL_WAYS[1], TOOL_WAYS[-1]], ids=["static", "dynamic"])
def test_the_tools_graphs_can_be_looked_into(
    way: Any, fp32: onnx.ModelProto, network: Network, calibration: np.ndarray, few: Split
) -> None:
    graph = quantize_by_tool(fp32, way, calibration)
    kept = measure_kept(graph, network, few)
    assert kept.size < 120_000
    assert kept.agreement > 0.97
    assert kept.hidden_noise > 20
    assert hidden_tensor(graph) not in ("image", "probabilities")
