"""`fmnist-edge bench`: on a bare device, and with the suite; what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fmnist_bench.bench_report import read_report
from fmnist_bench.measuring.plan import cores
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, sha256_of

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
BARE = """
import sys
for name in "pytest pytest_benchmark tensorflow keras matplotlib jinja2 onnx openvino ai_edge_litert".split():
    sys.modules[name] = None
from fmnist_edge.cli.main import main
sys.argv = ["fmnist-edge", "bench", *{arguments!r}]
main()
"""


def bench(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, "bench", *arguments], capture_output=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


def bare(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command where the runtime alone is installed, and no dataset is at hand."""
    program = BARE.format(arguments=arguments)
    variables = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "KERAS_HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=variables)


def test_a_bare_device_measures_the_runtime_without_the_dataset(tmp_path: Path) -> None:
    done = bare("--quick", "--format", "json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pip install 'fmnist-edge[bench]'" in done.stderr
    (tmp_path / "bench.json").write_text(done.stdout)
    report = read_report(tmp_path / "bench.json")
    assert report.plan == "device"
    assert report.model["sha256"] == sha256_of(EMBEDDED_CLASSIFIER)
    figures = {(row.figure, row.threads) for row in report.device if row.contender == "int8-classifier"}
    assert figures == {
        *((figure, 1) for figure in ("cold-start", "one-image", "png-to-label", "ten-thousand")),
        ("ten-thousand", cores()),
    }
    assert all(len(row.medians) == 2 and row.p50 <= row.p90 <= row.p99 for row in report.device)
    start = next(row for row in report.device if row.figure == "cold-start")
    assert 20e6 < (start.peak_bytes or 0) < 200e6


def test_a_bare_device_says_what_the_suite_needs(tmp_path: Path) -> None:
    for option in ("--require-all", "--original=x.keras", "--output=out"):
        done = bare(option, home=tmp_path)
        assert done.returncode == 3
        assert "pip install 'fmnist-edge[bench]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runtime-only", "--require-all"], "--runtime-only leaves out"),
        (["--against", "HEAD", "--runtime-only"], "--against measures the runtime alone"),
        (["--against", "none.json"], "cannot read none.json"),
        (["--against", "pyproject.json"], "is no bench.json"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.json").write_text("[]")
    done = bench(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_old_form_of_bench_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"version": 0}))
    assert "of another version" in bench("--against", str(tmp_path / "old.json")).stderr


@pytest.mark.stress
def test_the_whole_suite_writes_its_files_and_the_jobs_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    done = bench("--quick", "--require-all", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    report = read_report(tmp_path / "out" / "bench.json")
    assert {one.status for one in report.entrants} == {"measured"}
    assert len(report.goals) >= 9
    assert (tmp_path / "summary.md").read_text() == (tmp_path / "out" / "bench.md").read_text() + "\n"
    assert len(list((tmp_path / "out").glob("*.svg"))) == 5
