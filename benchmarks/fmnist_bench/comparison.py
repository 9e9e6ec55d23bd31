"""`fmnist-edge bench --against`: from a baseline's name to verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fmnist_bench.bench_report import read_report
from fmnist_bench.gate.against import ROUNDS, compare_with_report, compare_with_revision
from fmnist_bench.gate.verdict import Verdict
from fmnist_bench.report.markdown import verdicts_text
from fmnist_bench.run import OnStep, Request, prepare_probe, run_device
from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import GateError


def compare(baseline: str, request: Request, on_step: OnStep) -> list[Verdict]:
    """Compare this installation with a saved bench.json or a git revision.

    Raises UsageError if `baseline` is neither, or cannot be compared with; GateError if a measurement fails.
    """
    if Path(baseline).suffix == ".json":
        return compare_with_report(read_report(Path(baseline)), run_device(request, on_step))
    return compare_with_revision(baseline, prepare_probe(request), on_step)


def comparison_steps(baseline: str, request: Request) -> int:
    """Return how often `on_step` will be called, if nothing has to be measured again."""
    return request.plan.rounds if Path(baseline).suffix == ".json" else 2 * ROUNDS


def write_comparison(verdicts: Sequence[Verdict], baseline: str, folder: Path) -> None:
    """Write against.json and against.md. Raises OutputError."""
    content = {"baseline": baseline, "rows": [one.as_facts() for one in verdicts]}
    write_atomically(folder / "against.json", json.dumps(content, indent=1) + "\n")
    write_atomically(folder / "against.md", verdicts_text(verdicts, baseline))


def check(verdicts: Sequence[Verdict], baseline: str) -> None:
    """Raise GateError, naming the rows, if there is a regression."""
    slower = [
        f"{one.row}: {one.ratio:.2f} times as long (may be {one.threshold:.2f})"
        for one in verdicts
        if one.is_regression
    ]
    if slower:
        raise GateError(f"slower than {baseline}: {'; '.join(slower)}")
