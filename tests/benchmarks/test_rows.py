"""How samples become a row: medians of medians, percentiles, spread."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fmnist_bench.row import Sample, row_from_facts, row_of


def test_a_row_is_the_median_of_the_processes_medians() -> None:
    row = row_of("one-image", "x", [Sample([1.0, 2.0, 9.0]), Sample([4.0, 4.0, 4.0]), Sample([3.0, 3.0, 3.0])])
    assert row.medians == (2.0, 4.0, 3.0)
    assert (row.p50, row.count, row.spread) == (3.0, 9, pytest.approx(2 / 3))


def test_one_disturbed_process_of_five_moves_neither_median_nor_percentiles() -> None:
    quiet = [Sample(np.linspace(1, 2, 101)) for _ in range(4)]
    row = row_of("one-image", "x", [*quiet, Sample(np.linspace(100, 200, 101))])
    assert (row.p50, row.p90, row.p99) == pytest.approx((1.5, 1.9, 1.99))


def test_whole_processes_give_their_percentiles_together() -> None:
    row = row_of("cold-start", "x", [Sample([float(number)], peak_bytes=number) for number in range(1, 102)])
    assert (row.p50, row.p90, row.p99, row.peak_bytes) == (51, 91, 100, 101)


def test_throughput_is_images_by_the_median() -> None:
    row = row_of("ten-thousand", "x", [Sample([0.5])], images=10_000)
    assert row.images_per_second == 20_000


def test_a_row_survives_json() -> None:
    row = row_of("folder", "x", [Sample([0.5], 0.4, 1000), Sample([0.7], 0.6, 2000)], threads=2, images=9)
    assert row_from_facts(json.loads(json.dumps(row.as_facts()))) == row
