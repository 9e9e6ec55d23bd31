"""The parity gate: what it measures, and that it stops what it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fmnist_convert.parity import Parity, broken_limits, hold_gate, measure_parity
from fmnist_edge.errors import GateError

GOOD = Parity(10_000, 0.9, 0.9, 10, 1e-6, 1e-8)


def test_parity_counts_labels_and_differences() -> None:
    reference = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32)
    found = np.array([[0.8, 0.2], [0.4, 0.6], [0.2, 0.8]], np.float32)
    parity = measure_parity(found, reference, np.array([0, 0, 0], np.uint8))
    assert (parity.accuracy, parity.reference_accuracy) == pytest.approx((1 / 3, 2 / 3))
    assert (parity.different_labels, parity.agreement) == (1, pytest.approx(2 / 3))
    assert parity.max_difference == pytest.approx(0.2)
    assert parity.mean_difference == pytest.approx(0.1)


def test_figures_at_their_limits_pass() -> None:
    fp32 = replace(GOOD, max_difference=1e-5)
    int8 = replace(GOOD, accuracy=0.899, different_labels=50, max_difference=0.5)
    assert broken_limits(fp32, int8, int8) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ((replace(GOOD, max_difference=2e-5), GOOD, GOOD), "fp32"),
        ((GOOD, replace(GOOD, accuracy=0.8989), GOOD), "less accurate"),
        ((GOOD, replace(GOOD, different_labels=51), GOOD), "same label"),
        ((GOOD, GOOD, replace(GOOD, different_labels=51)), "without graph optimizations"),
    ],
)
def test_a_figure_past_its_limit_is_named_and_stops_the_conversion(
    changes: tuple[Parity, Parity, Parity], word: str
) -> None:
    broken = broken_limits(*changes)
    assert len(broken) == 1
    assert word in broken[0]
    with pytest.raises(GateError, match="No file was written"):
        hold_gate(broken)
