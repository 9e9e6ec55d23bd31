"""The gate on real code: a planted slowdown is caught, identical code passes; `--against` end to end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fmnist_bench.bench_report import Report
from fmnist_bench.gate.against import compare_sides, compare_with_report
from fmnist_bench.gate.baseline import lay_out_revision
from fmnist_bench.measuring.probing import ALL_FIGURES, Probe, Side, laid_out
from fmnist_edge.errors import UsageError

ROOT = Path(__file__).parents[2]
ENTRY = "fmnist_edge.__main__:run"
SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
TWICE = """
_once = Classifier.predict
Classifier.predict = lambda self, images: (_once(self, images), _once(self, images))[1]
"""
AT_ONCE = """
_answers = np.zeros((10_000, 10), np.float32)
Classifier.predict = lambda self, images: _answers[: len(images)]
"""


def quiet(_: str) -> None:
    """Show no progress."""


def copied(folder: Path, addition: str = "") -> Side:
    """Lay out a copy of the runtime, with something added to its classifier."""
    shutil.copytree(ROOT / "runtime" / "fmnist_edge", folder / "fmnist_edge")
    with (folder / "fmnist_edge" / "classifier.py").open("a", encoding="utf-8") as file:
        file.write(addition)
    return laid_out(folder.name, folder, ENTRY)


def test_a_planted_slowdown_is_caught_and_identical_code_is_not(tmp_path: Path, probe: Probe) -> None:
    before, same, slow = copied(tmp_path / "before"), copied(tmp_path / "same"), copied(tmp_path / "slow", TWICE)
    (verdict,) = compare_sides(before, slow, probe, quiet)
    assert verdict.is_regression, verdict
    assert verdict.row == "one-image, 1 thread"
    assert 1.5 < verdict.ratio < 2.6
    (verdict,) = compare_sides(before, same, probe, quiet)
    assert not verdict.is_regression, verdict


@pytest.mark.stress
def test_ten_runs_of_identical_code_raise_no_alarm(tmp_path: Path, probe: Probe) -> None:
    before, same = copied(tmp_path / "before"), copied(tmp_path / "same")
    everything = replace(probe, figures=ALL_FIGURES)
    alarms = [
        verdict
        for _ in range(10)
        for verdict in compare_sides(before, same, everything, quiet)
        if verdict.is_regression
    ]
    assert alarms == []


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository whose one commit holds a runtime that answers at once, and wrongly."""
    folder = tmp_path / "repository"
    copied(folder / "runtime", AT_ONCE)
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "fast"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    return folder


def test_a_revision_is_laid_out_as_its_own_package(repository: Path, tmp_path: Path, probe: Probe) -> None:
    side = lay_out_revision("HEAD", tmp_path / "baseline")
    program = "import fmnist_edge; print(fmnist_edge.__file__)"
    done = subprocess.run([sys.executable, "-c", program], env=side.variables(), capture_output=True, text=True)
    assert done.stdout.strip().startswith(str(tmp_path / "baseline"))
    here = laid_out("here", ROOT / "runtime", ENTRY)
    (verdict,) = compare_sides(side, here, replace(probe, seconds=0.05), quiet, rounds=2)
    assert verdict.ratio > 3


@pytest.mark.stress
def test_against_a_faster_revision_the_command_fails_and_names_the_rows(repository: Path) -> None:
    done = subprocess.run([SCRIPT, "bench", "--against", "HEAD"], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 1
    assert "slower than HEAD: " in done.stderr
    assert "one-image, 1 thread" in done.stderr
    assert "cold-start" not in done.stderr


def test_what_is_no_revision_is_wrong_usage(repository: Path) -> None:
    done = subprocess.run([SCRIPT, "bench", "--against", "nonsense"], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nonsense is no saved bench.json, and no revision" in done.stderr


def test_a_saved_report_is_compared_by_yardsticks(published: Report) -> None:
    assert all(one.ratio == 1 for one in compare_with_report(published, published))
    ours = [row for row in published.device if row.contender == "int8-classifier"]
    slower = [
        replace(row, medians=tuple(3 * one for one in row.medians)) if row in ours else row for row in published.device
    ]
    verdicts = compare_with_report(published, replace(published, device=slower))
    assert {one.figure for one in verdicts} == set(ALL_FIGURES)
    assert all(one.ratio == pytest.approx(3) for one in verdicts)
    everything = [replace(row, medians=tuple(3 * one for one in row.medians)) for row in published.device]
    assert all(
        one.ratio == pytest.approx(1) for one in compare_with_report(published, replace(published, device=everything))
    )


def test_another_cpu_is_refused(published: Report) -> None:
    other = replace(published, machine={**published.machine, "cpu": "another"})
    with pytest.raises(UsageError, match="of another CPU"):
        compare_with_report(other, published)


def test_the_command_compares_with_a_saved_report(tmp_path: Path) -> None:
    arguments = ["bench", "--quick", "--runtime-only", "--format", "json"]
    saved = json.loads(subprocess.run([SCRIPT, *arguments], capture_output=True, check=True).stdout)
    for row in saved["device"]:
        if row["contender"] == "int8-classifier":
            row["medians"] = [one / 1000 for one in row["medians"]]
    (tmp_path / "saved.json").write_text(json.dumps(saved))
    command = [SCRIPT, "bench", "--quick", "--against", str(tmp_path / "saved.json"), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "one-image, 1 thread" in done.stderr
    assert "REGRESSION" in (tmp_path / "out" / "against.md").read_text()
    rows = json.loads((tmp_path / "out" / "against.json").read_text())["rows"]
    assert {row["outcome"] for row in rows} >= {"REGRESSION"}
