"""The refinement of the hidden kernel: less error where the label hangs, within the same bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fmnist_convert.ambiguity import ambiguity, gap_error, two_best
from fmnist_convert.integer_network import IntegerNetwork
from fmnist_convert.network import Network, read_network
from fmnist_convert.quantize import CALIBRATION, CHOICE, Quantized, quantize
from fmnist_convert.refinement import refine
from fmnist_convert.rounding import keeps_bounds
from fmnist_convert.study.plain_rounding import round_plainly
from fmnist_edge.dataset import load_split


@pytest.fixture(scope="module")
def network(fp32: Any) -> Network:
    return read_network(fp32)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load_split("train").images


@pytest.fixture(scope="module")
def rounded(network: Network, images: np.ndarray) -> IntegerNetwork:
    """To the nearest, within the pair bound: much to make good."""
    return round_plainly(network, images[CALIBRATION], bounded=True)


def error_of(network: Network, integers: IntegerNetwork, images: np.ndarray) -> float:
    return gap_error(integers.logits(images), network.logits(images))


def test_images_it_has_not_seen_keep_their_gap_better(
    network: Network, rounded: IntegerNetwork, images: np.ndarray
) -> None:
    refined = refine(network, rounded, images[CALIBRATION])
    assert error_of(network, refined, images[CHOICE]) < 0.5 * error_of(network, rounded, images[CHOICE])


def test_the_pair_bound_holds_and_scales_stay(network: Network, rounded: IntegerNetwork, images: np.ndarray) -> None:
    refined = refine(network, rounded, images[CALIBRATION][:2_000])
    assert keeps_bounds(refined.hidden_kernel.values)
    assert (refined.hidden_kernel.values != rounded.hidden_kernel.values).any()
    np.testing.assert_array_equal(refined.hidden_kernel.scales, rounded.hidden_kernel.scales)
    np.testing.assert_array_equal(refined.kernel.values, rounded.kernel.values)


def test_the_shipped_network_is_refined(quantized: Quantized) -> None:
    assert quantized.refined


def test_a_refinement_that_harms_is_dropped(
    network: Network, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fmnist_convert import quantize as module

    monkeypatch.setattr(module, "EQUALIZATIONS", (0.5,))
    monkeypatch.setattr(module, "refine", lambda _network, integers, _images: _shifted(integers))
    result = quantize(network, images)
    assert not result.refined
    assert result.gap_error < error_of(network, _shifted(result.network), images[CHOICE])


def _shifted(integers: IntegerNetwork) -> IntegerNetwork:
    from dataclasses import replace

    return replace(integers, bias=integers.bias + np.arange(10, dtype=np.int32) * 500)


def test_an_image_counts_by_the_gap_of_its_two_best_logits() -> None:
    logits = np.array([[0.0, 3.0, 1.0], [2.0, 2.0, -1.0]])
    np.testing.assert_allclose(ambiguity(logits), [np.exp(-1), 1])
    assert two_best(logits)[0].tolist() == [1, 2]
