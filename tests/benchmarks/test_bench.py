"""The benchmarks: a suite that behaves as pytest-benchmark's manual says, and its report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fmnist_bench import environment
from fmnist_bench.publish import readme_part
from fmnist_bench.report import (
    COLD,
    FOLDER,
    IMPORT,
    MANY,
    ONE,
    PHOTO,
    PNG,
    Results,
    duration,
    html,
    markdown,
    page,
    rate,
    read_results,
    size,
    text,
)
from fmnist_bench.workloads import Turn, interleave, stats_of
from fmnist_edge.errors import UsageError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, sha256_of

ROOT = Path(__file__).parents[2]
FEW = ["--benchmark-max-time=0.02", "--benchmark-min-rounds=4"]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two saved runs of some benchmarks without the original: bench.json is the second's."""
    folder = tmp_path_factory.mktemp("suite")
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(ROOT / "benchmarks"),
        "--benchmark-only",
        f"--model={EMBEDDED_CLASSIFIER}",
    ]
    command += ["-k", "test_one_image or test_import", "--benchmark-save=run", *FEW]
    options: dict[str, Any] = {"cwd": folder, "capture_output": True, "text": True, "env": environment()}
    first = subprocess.run(command, **options)
    assert first.returncode == 0, first.stdout
    command += ["--benchmark-compare", "--benchmark-compare-fail=median:100000%", "--benchmark-json=bench.json"]
    second = subprocess.run(command, **options)
    assert second.returncode == 0, second.stdout
    (folder / "printed").write_text(second.stdout)
    return folder


@pytest.fixture
def published() -> Results:
    """The run that the README shows."""
    return read_results(ROOT / "docs" / "bench.json")


def test_the_suite_saves_and_compares_as_pytest_benchmark_does(suite: Path) -> None:
    assert len(list(suite.glob(".benchmarks/*/000?_run.json"))) == 2
    printed = (suite / "printed").read_text()
    assert "benchmark 'one image': 6 tests" in printed  # three backends, now and before
    assert "test_one_image[ours-int8] (NOW)" in printed


def test_a_backend_that_is_missing_is_skipped_by_name(suite: Path) -> None:
    printed = (suite / "printed").read_text()
    assert "litert-int8: needs the original: give --original" in printed
    rows = json.loads((suite / "bench.json").read_text())["benchmarks"]
    backends = {row["param"] for row in rows if row["group"] == "one image"}
    assert backends == {"ours-int8", "onnxruntime-int8", "openvino-int8"}


def test_every_round_is_in_the_statistics_and_their_options_are_kept(suite: Path) -> None:
    for row in json.loads((suite / "bench.json").read_text())["benchmarks"]:
        assert row["stats"]["rounds"] == len(row["stats"]["data"]) >= 4
        assert row["options"]["disable_gc"] is True
        assert row["options"]["warmup"]


def test_turns_are_interleaved_and_those_of_few_rounds_spread_over_the_others() -> None:
    ran: list[str] = []
    rounds = {"a": 4, "b": 4, "c": 2}
    interleave([Turn(lambda name=name: ran.append(name), 1, count, lambda _: None) for name, count in rounds.items()])
    assert "".join(ran) == "ab" + "bca" + "ab" + "abc"


def test_own_statistics_are_those_of_pytest_benchmark(suite: Path) -> None:
    for row in json.loads((suite / "bench.json").read_text())["benchmarks"]:
        theirs = row["stats"]
        ours = stats_of(theirs["data"], theirs["iterations"])
        assert ours.keys() == theirs.keys()
        for name in ("min", "max", "mean", "stddev", "median", "rounds", "total", "iterations", "ops"):
            assert ours[name] == pytest.approx(theirs[name], rel=0.5 if name == "ops" else 1e-9), name


def test_the_published_run_is_of_the_shipped_model_and_the_pages_show_it(published: Results) -> None:
    assert published.about["model"]["sha256"] == sha256_of(EMBEDDED_CLASSIFIER)
    assert published.about["missing"] == {}
    assert readme_part(published) in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "benchmark-results.md").read_text(encoding="utf-8") == markdown(page(published))


def test_a_terminal_shows_parity_and_latency_in_100_columns(published: Results) -> None:
    lines = text(page(published, published)).splitlines()
    assert max(map(len, lines)) <= 100
    (ours,) = (line for line in lines if re.match(r"  fmnist-edge int8 .* s? ", line) and "kB" in line)
    assert re.search(r"108 kB +89\.\d\d % +99\.\d\d % +0\.\d{4}$", ours)


def test_ratios_to_an_earlier_run_are_of_medians_with_their_unit(published: Results, suite: Path) -> None:
    earlier = read_results(suite / "bench.json")
    table = page(published, earlier).tables[-1]
    (row,) = (row for row in table.rows if row[0] == "one image: fmnist-edge int8")
    now, before = published.median("one image"), earlier.median("one image")
    assert now and before
    assert row[1] == duration(now)
    assert float(row[-1].replace(",", "")) == pytest.approx(now / before, rel=0.02)
    assert {row[-1] for row in table.rows if row[0].startswith("cold start")} == {"-"}, "the earlier run has none"


def test_the_page_needs_nothing_else_and_every_table_scrolls_in_a_box_of_its_own(published: Results) -> None:
    shown = html(page(published))
    assert not re.search(r"<script|src=|href=|url\(|@import", shown)
    assert shown.count("<table>") == shown.count('<div class="scroll"') == len(page(published).tables)
    assert "\u00a0%" in shown
    assert " %<" not in shown, "a per cent sign that can wrap"


def test_a_page_escapes_what_it_shows(published: Results) -> None:
    published.about["missing"]["<b>"] = "why"
    assert "&lt;b&gt; was not measured: why" in html(page(published))


def test_goals_that_are_missed_are_named_in_the_readme(published: Results) -> None:
    keras, ours = published.median(ONE, "keras-call"), published.median(ONE)
    assert keras and ours
    assert ("one image: times faster than model(x)", keras / ours, 100.0) in published.goals()
    for title, ratio, goal in published.goals():
        assert (f"{title} (" in readme_part(published)) == (ratio < goal)
    assert any(ratio >= goal for _, ratio, goal in published.goals())


def test_what_is_not_a_bench_json_is_refused(tmp_path: Path) -> None:
    for name, content in (("list.json", "[]"), ("empty.json", ""), ("old.json", '{"version": 1}')):
        (tmp_path / name).write_text(content)
        with pytest.raises(UsageError, match="was not written by"):
            read_results(tmp_path / name)
    with pytest.raises(UsageError, match="cannot read"):
        read_results(tmp_path / "none.json")


def test_units_keep_three_digits() -> None:
    shown = [duration(one).replace("\u00a0", " ") for one in (4.1534e-6, 0.0123, 1.2, None)]
    assert shown == ["4.15 µs", "12.3 ms", "1.20 s", "-"]
    assert [size(one).replace("\u00a0", " ") for one in (108_214, 61_200_000, None)] == ["108 kB", "61.2 MB", "-"]
    assert [rate(one) for one in (5_344_321.0, 42.4, float("nan"))] == ["5,340,000", "42", "-"]


BARE = """
import sys
absent = "pytest pytest_benchmark tensorflow keras matplotlib jinja2 tabulate cpuinfo onnx openvino ai_edge_litert"
for name in absent.split():
    sys.modules[name] = None
from fmnist_edge.cli.main import main
sys.argv = ["fmnist-edge", "bench", *{arguments!r}]
main()
"""


def bare(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command where the runtime alone is installed, and no dataset is at hand."""
    program = BARE.format(arguments=arguments)
    variables = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "KERAS_HOME": str(home), "PATH": "/usr/bin:/bin"}
    variables |= {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=variables)


def test_a_bare_device_measures_the_runtime_without_the_dataset(suite: Path, tmp_path: Path) -> None:
    done = bare("--quick", "-o", str(tmp_path / "out"), home=tmp_path)
    assert done.returncode == 0, done.stderr
    written = tmp_path / "out" / "bench.json"
    assert list(written.parent.iterdir()) == [written]
    results = read_results(written)
    assert {group for group, _ in results.rows} == {ONE, PNG, PHOTO, MANY, FOLDER, COLD, IMPORT}
    assert 20e6 < results.extra(COLD, "ours-int8", "peak_bytes") < 200e6
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(written), str(suite / "bench.json")]
    compared = subprocess.run([*command, "--group-by=fullname"], capture_output=True, text=True, cwd=tmp_path)
    assert "benchmark 'test_benchmarks.py::test_one_image[ours-int8]': 2 tests" in compared.stdout
    again = bare("--quick", "-o", str(tmp_path / "out"), "--against", str(written), home=tmp_path)
    assert again.returncode == 2, "an output may not be an input"


def test_a_bare_device_says_what_the_suite_needs(tmp_path: Path) -> None:
    for option in ("--require-all", "--original=x.keras"):
        done = bare(option, home=tmp_path)
        assert done.returncode == 3
        assert "[bench]" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_line_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = bare("-o", str(tmp_path / "file" / "below"), home=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"cannot write to {tmp_path / 'file' / 'below'}: Not a directory" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runtime-only", "--require-all"], "--runtime-only leaves out"),
        (["--against", "HEAD", "--quick"], "leave out the other options"),
        (["--against", "none.json"], "cannot read none.json"),
        (["--against", "nothing-like-this"], "not a git revision"),
        (["-o", "mine"], "mine/bench.md was not written by this tool"),
        (["--model", "none.onnx"], "no model at none.onnx"),
        (["--model", "mine/bench.md"], "mine/bench.md is not an ONNX model"),
        (["--original", "mine/bench.md"], "was not made from mine/bench.md: give --model"),
        (["--runtime-only", "--data", "mine"], "mine (from $FMNIST_DATA) is not a good copy of the dataset"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "bench.md").write_text("my notes")
    options: dict[str, Any] = {"capture_output": True, "text": True, "cwd": tmp_path}
    done = subprocess.run([sys.executable, "-m", "fmnist_edge", "bench", *arguments], **options)
    assert done.returncode == (3 if "model" in message or "data" in message else 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
