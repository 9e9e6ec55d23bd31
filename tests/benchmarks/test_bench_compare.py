"""Whether a change made it slower: decided by paired ratios, in a job whose steps run here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fmnist_bench import compare
from fmnist_bench.compare import Verdict, check, compare_sides, lower_bound, table
from fmnist_bench.report import ONE
from fmnist_bench.workloads import test_images as load_test_images
from fmnist_edge.errors import GateError

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "benchmarks.yml"


def test_the_bound_is_the_sign_tests() -> None:
    ratios = [1.0 + number / 100 for number in range(11)]
    assert lower_bound(ratios) == ratios[2]  # P(at most 2 heads in 11) = 0.033, P(at most 3) = 0.113
    assert lower_bound(ratios[:5]) == ratios[0]  # P(no head in 5) = 0.031
    assert lower_bound(ratios[:4]) == 0.0  # P(no head in 4) = 0.063


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_the_same_code_never_looks_slower_and_half_as_slow_again_always_does(noise: float) -> None:
    random = np.random.default_rng(0)
    runs = np.exp(noise * random.standard_normal((2000, 2, compare.PAIRS[0])))
    assert not any(Verdict("x", base, head).is_slower for base, head in runs)
    assert all(Verdict("x", base, 1.5 * head).is_slower for base, head in runs)


def test_what_disturbs_both_of_a_pair_falls_out() -> None:
    load = np.array([1, 3, 1, 2, 5, 1, 1, 8, 1, 2, 1.0])
    assert Verdict("x", load, 1.15 * load).is_slower
    assert not Verdict("x", load, 1.09 * load).is_slower
    assert not Verdict("x", load, 0.5 * load).is_slower


SLOW = """
_predict = Classifier.predict

def _slow(self, images):
    for _ in range(5):
        _predict(self, images)
    return _predict(self, images)

Classifier.predict = _slow
"""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This installation with a predict that takes some times as long."""
    root = tmp_path_factory.mktemp("slow")
    shutil.copytree(
        ROOT / "runtime" / "fmnist_edge", root / "fmnist_edge", ignore=shutil.ignore_patterns("__pycache__")
    )
    with (root / "fmnist_edge" / "classifier.py").open("a") as file:
        file.write(SLOW)
    return root


def test_a_slower_side_is_found_and_named(slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "PAIRS", (5, 11))
    monkeypatch.setattr(compare, "FIGURES", (ONE,))
    same = ROOT / "runtime"
    (verdict,) = compare_sides(same, slow, load_test_images(draw=True), tmp_path, lambda _: None)
    assert verdict.ratio > 2
    assert table([verdict], "main").rows[0][-1] == "slower"
    with pytest.raises(GateError, match=r"slower than main: one image takes \d+\.\d\d times as long") as caught:
        check([verdict], "main")
    assert caught.value.exit_code == 1
    (verdict,) = compare_sides(slow, same, load_test_images(draw=True), tmp_path, lambda _: None)
    check([verdict], "main")


def test_a_side_that_cannot_run_ends_the_comparison_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "fmnist_edge").mkdir()
    (tmp_path / "fmnist_edge" / "__init__.py").write_text("raise RuntimeError('broken on purpose')")
    with pytest.raises(GateError, match="broken on purpose"):
        compare_sides(tmp_path, ROOT / "runtime", load_test_images(draw=True), tmp_path, lambda _: None)


def test_every_action_is_pinned_by_its_commit_and_every_step_is_a_make_target() -> None:
    actions = [
        action for file in WORKFLOW.parent.glob("*.yml") for action in re.findall(r"uses: (\S+)", file.read_text())
    ]
    assert len(actions) > 8
    assert [action for action in actions if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []
    steps = re.findall(r"run: (.*)", WORKFLOW.read_text())
    assert set(steps) == {"make bench", "make bench-quick", "make bench-against"}


def test_the_history_reads_fields_that_the_report_has() -> None:
    # github-action-benchmark, src/extract.ts, extractPytestResult: fullname and stats.ops, stddev, mean, rounds
    rows = json.loads((ROOT / "docs" / "bench.json").read_text())["benchmarks"]
    assert all({"ops", "stddev", "mean", "rounds"} <= row["stats"].keys() for row in rows)
    assert len({row["fullname"] for row in rows}) == len(rows)


@pytest.mark.stress
def test_the_steps_of_the_pull_request_fill_the_jobs_summary(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    variables = os.environ | {"GITHUB_STEP_SUMMARY": str(summary), "BASE": "HEAD"}
    steps = re.findall(r"run: (.*)", WORKFLOW.read_text().partition("  history:")[0])
    for step in steps:
        subprocess.run(step, shell=True, cwd=ROOT, env=variables, check=True)
    found = summary.read_text()
    assert "# fmnist-edge: what it costs" in found
    assert "## Against HEAD" in found
    for name in ("bench-quick/bench", "bench-against/against"):
        assert all((ROOT / "build" / f"{name}.{end}").is_file() for end in ("json", "md", "html"))
