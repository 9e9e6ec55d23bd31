"""Rounding: the bounds that make all CPUs equal, and how little the output moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_convert.rounding import (
    PAIR_LIMIT,
    compensated_rounding,
    descend,
    limits,
    output_error,
    pair_sums,
    prepare_hessian,
    round_kernel,
    round_scale,
    smallest_scales,
)

from .chains import keeps_bounds

RANDOM = np.random.default_rng(0)


def correlated_inputs(width: int) -> np.ndarray:
    mixing = RANDOM.normal(size=(width, width))
    return np.abs(RANDOM.normal(size=(500, width)) @ mixing)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 8, 30]), st.floats(0.01, 100))
def test_rounded_kernels_never_exceed_range_or_pair_bound(seed: int, width: int, size: float) -> None:
    random = np.random.default_rng(seed)
    kernel = random.standard_t(2, (width, 5)) * size
    inputs = random.integers(0, 256, (100, width)).astype(np.float64)
    assert keeps_bounds(round_kernel(kernel, prepare_hessian(inputs.T @ inputs)).values)


def test_pair_sum_is_the_worst_same_sign_sum_of_adjacent_inputs() -> None:
    kernel = np.array([[100, -3], [29, -4], [-128, 5], [7, -60]])
    assert pair_sums(kernel).tolist() == [129, 60]
    assert pair_sums(np.array([[-70], [-60]])).tolist() == [130]


@pytest.mark.parametrize("other", [-127, -64, 0, 1, 64, 127])
def test_a_weight_may_be_as_large_as_16_bits_hold_beside_the_other_of_its_pair(other: int) -> None:
    low, high = (int(limit[0]) for limit in limits(np.array([float(other)])))
    for weight, beside in ((high, max(other, 0)), (-low, max(-other, 0))):
        assert 255 * (weight + beside) <= 2**15 - 1
        assert weight == 127 or 255 * (weight + beside + 1) > 2**15 - 1


def test_smallest_scales_need_no_clipping() -> None:
    kernel = RANDOM.normal(size=(40, 7))
    values = kernel / smallest_scales(kernel)
    assert np.abs(values).max() <= 127 + 1e-9
    assert pair_sums(values).max() <= PAIR_LIMIT + 1e-9


def test_compensated_rounding_moves_the_output_less_than_plain_rounding() -> None:
    kernel = RANDOM.normal(size=(60, 9))
    inputs = correlated_inputs(60)
    hessian = inputs.T @ inputs
    scales = smallest_scales(kernel)
    plain = np.rint(kernel / scales)
    compensated = compensated_rounding(kernel, prepare_hessian(hessian), scales)
    error = output_error(kernel - compensated * scales, hessian).sum()
    assert error < 0.5 * output_error(kernel - plain * scales, hessian).sum()


def test_descent_lessens_the_error_and_keeps_the_bounds() -> None:
    kernel = RANDOM.normal(size=(60, 9))
    inputs = correlated_inputs(60)
    hessian = inputs.T @ inputs
    scales = smallest_scales(kernel)
    before = compensated_rounding(kernel, prepare_hessian(hessian), scales)
    after = descend(kernel, hessian, scales, before)
    errors = [output_error(kernel - values * scales, hessian) for values in (before, after)]
    assert (errors[1] <= errors[0] * (1 + 1e-9)).all()
    assert errors[1].sum() < errors[0].sum()
    assert keeps_bounds(after.astype(np.int8))


def test_output_error_is_the_squared_change_of_the_layers_output() -> None:
    inputs, error = RANDOM.normal(size=(30, 6)), RANDOM.normal(size=(6, 2))
    expected = ((inputs @ error) ** 2).sum(axis=0)
    np.testing.assert_allclose(output_error(error, inputs.T @ inputs), expected)


@given(st.floats(1e-30, 1e30))
def test_scales_have_16_significant_bits_and_move_by_less_than_their_last(value: float) -> None:
    rounded = float(round_scale(value))
    fraction, _ = np.frexp(rounded)
    assert float(fraction) * 2**16 == int(float(fraction) * 2**16)
    assert abs(rounded - value) <= value * 2**-16
    assert float(np.float32(rounded)) == rounded
