"""The gate's decision on its own: noise passes, twice the time does not, and how often it errs."""

from __future__ import annotations

import numpy as np
import pytest

from fmnist_bench.comparison import check
from fmnist_bench.gate.verdict import LEAST_THRESHOLD, Verdict, judge_pairs, judge_runs
from fmnist_edge.errors import GateError

ROW = ("one-image", "int8-classifier", 1)
QUIET = [8.0, 8.1, 7.9, 8.05, 8.0]


def test_twice_the_time_is_a_regression_in_quiet_and_in_noise() -> None:
    assert judge_pairs(ROW, QUIET, [2 * one for one in QUIET]).is_regression
    noisy = [8.0, 9.0, 7.5, 8.6, 8.2]
    assert judge_pairs(ROW, noisy, [16.5, 16.9, 15.8, 18.0, 15.5]).is_regression


def test_less_than_fifteen_percent_is_never_one() -> None:
    verdict = judge_pairs(ROW, QUIET, [1.14 * one for one in QUIET])
    assert (verdict.threshold, verdict.is_regression) == (LEAST_THRESHOLD, False)


def test_what_disturbs_both_of_a_pair_falls_out() -> None:
    load = [1, 3, 1, 2, 5]
    slowed = [one * busy for one, busy in zip(QUIET, load, strict=True)]
    verdict = judge_pairs(ROW, slowed, [1.3 * one for one in slowed])
    assert verdict.ratio == pytest.approx(1.3)
    assert verdict.is_regression


def test_faster_is_no_regression() -> None:
    assert judge_pairs(ROW, QUIET, [0.4 * one for one in QUIET]).outcome == "ok"


def test_a_row_in_which_twice_the_time_would_not_show_says_so() -> None:
    verdict = judge_pairs(ROW, [8, 20, 9, 31, 12], [19, 7, 30, 8, 11])
    assert verdict.outcome == "too noisy"


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_identical_code_hardly_ever_looks_slower_even_before_it_is_measured_again(noise: float) -> None:
    random = np.random.default_rng(0)
    runs = np.exp(noise * random.standard_normal((5000, 2, 5)))
    alarms = sum(judge_pairs(ROW, before, after).is_regression for before, after in runs)
    assert alarms / 5000 < 0.01  # and so 1 in 10,000 when it must look so twice


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_a_planted_slowdown_is_caught_in_noise(noise: float) -> None:
    random = np.random.default_rng(1)
    runs = np.exp(noise * random.standard_normal((1000, 2, 5)))
    caught = sum(judge_pairs(ROW, before, 2 * after).is_regression for before, after in runs)
    assert caught >= 990


def test_two_runs_are_judged_with_the_spread_of_both() -> None:
    quiet = judge_runs(ROW, QUIET, [1.5 * one for one in QUIET])
    assert quiet.is_regression
    assert judge_runs(ROW, QUIET, [8, 16, 12, 9, 14]).threshold > quiet.threshold


def test_the_error_names_the_rows_that_got_slower() -> None:
    slow = Verdict("one-image", "int8-classifier", 1, 1.0, 2.0, 2.0, 1.15)
    fine = Verdict("ten-thousand", "int8-classifier", 2, 1.0, 1.0, 1.0, 1.15)
    check([fine], "main")
    with pytest.raises(GateError, match=r"slower than main: one-image, 1 thread: 2\.00 times as long") as caught:
        check([fine, slow], "main")
    assert caught.value.exit_code == 1
    assert "ten-thousand" not in str(caught.value)
