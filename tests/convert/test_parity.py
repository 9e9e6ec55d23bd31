"""The parity gate: what it measures, and that it stops what it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fmnist_convert.parity import (
    DEFAULT_LIMITS,
    OWN_LIMITS,
    Parity,
    broken_float_limits,
    broken_limits,
    calibration_error,
    hold_gate,
    measure_parity,
)
from fmnist_edge.errors import GateError

GOOD = Parity(10_000, 0.9, 0.9, 10, 1e-6, 1e-8)


def test_parity_counts_labels_and_differences() -> None:
    reference = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32)
    found = np.array([[0.8, 0.2], [0.4, 0.6], [0.2, 0.8]], np.float32)
    parity = measure_parity(found, reference, np.array([[True, False]] * 3))
    assert (parity.accuracy, parity.reference_accuracy) == pytest.approx((1 / 3, 2 / 3))
    assert (parity.different_labels, parity.agreement) == (1, pytest.approx(2 / 3))
    assert parity.max_difference == pytest.approx(0.2)
    assert parity.mean_difference == pytest.approx(0.1)


def test_figures_at_their_limits_pass() -> None:
    at_limits = replace(GOOD, accuracy=0.897, different_labels=150, mean_difference=0.01, calibration_error=0.01)
    assert broken_limits("int8", at_limits, DEFAULT_LIMITS) == []
    assert broken_limits("int8", replace(GOOD, accuracy=0.899, different_labels=50), OWN_LIMITS) == []
    assert broken_float_limits(replace(GOOD, different_labels=0, max_difference=1e-4)) == []


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        (replace(GOOD, accuracy=0.8969), "less accurate"),
        (replace(GOOD, different_labels=151), "same label"),
        (replace(GOOD, mean_difference=0.0101), "mean"),
        (replace(GOOD, calibration_error=0.0101), "calibration error"),
    ],
)
def test_a_figure_past_its_limit_is_named_and_stops_the_conversion(figures: Parity, word: str) -> None:
    broken = broken_limits("int8", figures, DEFAULT_LIMITS)
    assert len(broken) == 1
    assert word in broken[0]
    with pytest.raises(GateError, match="No file was written"):
        hold_gate(broken, "No file was written")


def test_the_projects_own_network_keeps_tighter_limits() -> None:
    assert broken_limits("int8", replace(GOOD, accuracy=0.8989), OWN_LIMITS) != []
    assert broken_limits("int8", replace(GOOD, different_labels=51), OWN_LIMITS) != []


def test_an_fp32_export_gives_every_label_and_probabilities_within_1e_4() -> None:
    exact = replace(GOOD, different_labels=0)
    assert broken_float_limits(replace(exact, max_difference=1.1e-4)) != []
    assert broken_float_limits(replace(exact, different_labels=1)) != []


def test_either_label_of_a_tie_is_the_references_but_no_other() -> None:
    reference = np.array([[0.4, 0.4, 0.2], [0.4, 0.4 - 5e-7, 0.2], [0.4, 0.39999, 0.2]], np.float32)
    second = np.array([[0.3, 0.5, 0.2]] * 3, np.float32)
    labels = np.array([0, 0, 0])
    assert measure_parity(second, reference, np.eye(3, dtype=bool)[labels]).different_labels == 1
    third = np.array([[0.1, 0.2, 0.7]] * 3, np.float32)
    assert measure_parity(third, reference, np.eye(3, dtype=bool)[labels]).different_labels == 3


def test_the_calibration_error_is_the_mean_gap_of_confidence_and_accuracy() -> None:
    probabilities = np.array([[0.9, 0.1]] * 10, np.float32)
    accepted = np.array([[True, False]] * 6 + [[False, True]] * 4)
    assert calibration_error(probabilities, accepted) == pytest.approx(0.3, abs=1e-6)
    halves = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10, np.float32)
    both = np.concatenate([accepted, accepted])
    assert calibration_error(halves, both) == pytest.approx(0.15, abs=1e-6)


def test_any_of_several_accepted_classes_is_right() -> None:
    probabilities = np.array([[0.2, 0.8, 0.0], [0.1, 0.1, 0.8]], np.float32)
    accepted = np.array([[True, True, False], [True, True, False]])
    assert measure_parity(probabilities, probabilities, accepted).accuracy == 0.5
