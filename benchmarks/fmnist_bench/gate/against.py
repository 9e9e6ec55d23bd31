"""`--against`: this installation and a baseline, measured in turns, or by the yardsticks of two runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from fmnist_bench.bench_report import Report
from fmnist_bench.gate.baseline import lay_out_revision, this_revision
from fmnist_bench.gate.verdict import Verdict, judge_pairs, judge_runs
from fmnist_bench.measuring.probing import YARDSTICKS, Key, Probe, Side, measure_sides
from fmnist_bench.row import Row, Sample
from fmnist_edge.errors import UsageError

ROUNDS: Final = 5
OURS: Final = "int8-classifier"


def compare_with_revision(revision: str, probe: Probe, on_step: Callable[[str], None]) -> list[Verdict]:
    """Measure a git revision's runtime and this one in turns. Raises UsageError, or GateError if one fails."""
    with tempfile.TemporaryDirectory(prefix="fmnist-bench-") as folder:
        return compare_sides(lay_out_revision(revision, Path(folder)), this_revision(), probe, on_step)


def compare_sides(
    baseline: Side, candidate: Side, probe: Probe, on_step: Callable[[str], None], rounds: int = ROUNDS
) -> list[Verdict]:
    """Return a verdict for each row. What looks like a regression is measured again, and must look so again."""
    verdicts = _measured(baseline, candidate, probe, rounds, on_step)
    doubtful = {one.figure for one in verdicts if one.is_regression}
    if not doubtful:
        return verdicts
    again = replace(probe, figures=[figure for figure in probe.figures if figure in doubtful])
    second = {(one.figure, one.threads): one for one in _measured(baseline, candidate, again, rounds, on_step)}
    return [
        second[one.figure, one.threads] if one.is_regression and (one.figure, one.threads) in second else one
        for one in verdicts
    ]


def _measured(
    baseline: Side, candidate: Side, probe: Probe, rounds: int, on_step: Callable[[str], None]
) -> list[Verdict]:
    before, after = measure_sides([baseline, candidate], probe, rounds, on_step)
    return [judge_pairs(key, _medians(before[key]), _medians(after[key])) for key in before if key[1] == OURS]


def _medians(samples: Sequence[Sample]) -> list[float]:
    return [float(np.median(sample.seconds)) for sample in samples]


def compare_with_report(baseline: Report, candidate: Report) -> list[Verdict]:
    """Judge two reports by their yardsticks. Raises UsageError if they are of different CPUs, or share no row.

    Seconds of another run say nothing; how a figure stands to numpy's or Pillow's own work in the same run does.
    """
    before, after = baseline.machine.get("cpu"), candidate.machine.get("cpu")
    if before != after:
        raise UsageError(
            f"the baseline is of another CPU ({before}; here {after}): give a git revision to compare with"
        )
    old, new = _normalized(baseline.device), _normalized(candidate.device)
    shared = [key for key in new if key in old]
    if not shared:
        raise UsageError("the baseline shares no row with this run: measure it again with this version")
    return [judge_runs(key, old[key], new[key]) for key in shared]


def _normalized(rows: Sequence[Row]) -> dict[Key, list[float]]:
    """Return our rows' medians, process by process, in yardsticks."""
    found = {(row.figure, row.contender, row.threads): row for row in rows}
    result = {}
    for (figure, contender, threads), row in found.items():
        yardstick = found.get((figure, YARDSTICKS[figure], threads))
        if contender == OURS and yardstick is not None:
            pairs = zip(row.medians, yardstick.medians, strict=False)
            result[figure, contender, threads] = [ours / theirs for ours, theirs in pairs]
    return result
