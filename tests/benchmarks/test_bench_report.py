"""The report of a real run: complete, self-contained, the same in every form."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from fmnist_bench.bench_report import Entrant, Report, read_report
from fmnist_bench.contenders.registry import CONTENDERS
from fmnist_bench.figures import FIGURES
from fmnist_bench.goals import reached_goals
from fmnist_bench.publishing import publish, readme_part, with_part
from fmnist_bench.report.action import action_json
from fmnist_bench.report.charts import charts
from fmnist_bench.report.facts import warning
from fmnist_bench.report.markdown import markdown
from fmnist_bench.report.page import page
from fmnist_bench.report.tables import tables
from fmnist_bench.report.text import text
from fmnist_bench.report.units import duration, rate, size
from fmnist_edge.errors import UsageError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, sha256_of
from tests.benchmarks.test_report import tags_of

ROOT = Path(__file__).parents[2]


def test_the_published_run_is_of_the_shipped_model(published: Report) -> None:
    assert published.model["sha256"] == sha256_of(EMBEDDED_CLASSIFIER)
    assert {one.key for one in published.entrants} == {one.key for one in CONTENDERS}
    assert {row.figure for row in published.rows} == set(FIGURES)


def test_the_readme_and_the_pages_show_the_published_run(published: Report) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_part(readme, readme_part(published)) == readme
    assert (ROOT / "docs" / "benchmark-results.md").read_text(encoding="utf-8") == markdown(published)


def test_a_report_survives_its_file(published: Report, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(published.as_json())
    assert read_report(tmp_path / "bench.json").as_json() == published.as_json()


def test_the_documented_schema_names_every_field(published: Report) -> None:
    schema = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8").partition("## bench.json")[2]
    facts = json.loads(published.as_json())
    for name in (
        *facts,
        *facts["rows"][0],
        *facts["machine"],
        *facts["model"],
        *facts["sizes"][0],
        *facts["entrants"][0],
    ):
        assert f"`{name}`" in schema, name


def test_goals_are_ratios_of_the_rows(published: Report) -> None:
    goals = {goal.title: goal for goal in reached_goals(published.rows)}
    keras, ours = published.row("one-image", "keras-call"), published.row("one-image", "int8-classifier")
    assert keras and ours
    assert goals["one image: times faster than model(x)"].value == keras.p50 / ours.p50
    assert list(published.goals) == list(goals.values())
    slower = [replace(row, p50=1000 * row.p50) if row == ours else row for row in published.rows]
    assert not next(goal for goal in reached_goals(slower) if "model(x)" in goal.title).reached


def test_markdown_has_every_contender_with_its_accuracy_and_what_was_not_measured(published: Report) -> None:
    found = markdown(published)
    for one in published.contenders():
        assert re.search(
            rf"^\| \**{re.escape(one.title)}\** \| {100 * (one.accuracy or 0):.2f} % \|", found, re.MULTILINE
        )
    assert "- not measured: energy" in found
    widths = {line.count(" | ") for line in found.splitlines() if line.startswith("| ") and "fmnist-edge int8" in line}
    assert widths


def test_a_contender_that_is_missing_is_a_row_that_says_so(published: Report) -> None:
    gone = [
        replace(one, status="keras is not installed") if one.key == "keras-call" else one for one in published.entrants
    ]
    rows = [row for row in published.rows if row.contender != "keras-call"]
    assert "keras is not installed" in markdown(replace(published, entrants=gone, rows=rows))


def test_the_page_needs_nothing_but_itself_and_shows_what_the_text_shows(published: Report) -> None:
    html = page(published)
    tags = tags_of(html)
    sources = [value for _, given in tags for name, value in given.items() if name in ("src", "srcset", "href")]
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "script" not in {tag for tag, _ in tags}
    pictures = [given for tag, given in tags if tag == "img"]
    assert len(pictures) == sum(tag == "source" for tag, _ in tags) == 5
    for given in pictures:
        assert len(given["alt"]) > 100
        with PIL.Image.open(io.BytesIO(base64.b64decode(given["src"].partition(",")[2]))) as picture:
            picture.load()
    assert all(table.title in html for table in tables(published))
    links = {given["href"][1:] for tag, given in tags if tag == "a"}
    assert links <= {given["id"] for _, given in tags if "id" in given}
    assert len(html) < 1_500_000


def test_every_chart_is_drawn_and_says_its_figures_in_words(published: Report) -> None:
    found = charts(published)
    assert list(found) == ["latency", "png", "throughput", "cold-start", "accuracy"]
    ours = published.row("one-image", "int8-classifier")
    assert ours
    assert f"fmnist-edge int8 {duration(ours.p50)}" in found["latency"][1]


def test_the_terminal_shows_goals_and_contenders_in_columns(published: Report) -> None:
    lines = text(published).splitlines()
    assert any(line.startswith("Contenders") for line in lines)
    assert any("fmnist-edge int8" in line and "89.72 %" in line for line in lines)
    assert not any(line != line.rstrip() for line in lines)


def test_the_action_reads_a_list_of_smaller_is_better(published: Report) -> None:
    entries = json.loads(action_json(published))
    assert all({"name", "unit", "value"} <= set(entry) for entry in entries)
    assert len({entry["name"] for entry in entries}) == len(entries)
    ours = published.row("one-image", "int8-classifier")
    assert ours
    value = next(entry["value"] for entry in entries if entry["name"].startswith("one-image: int8-classifier"))
    assert value == pytest.approx(ours.p50 * 1e6, abs=1e-3)


def test_a_busy_machine_is_named(published: Report) -> None:
    busy = replace(published, machine={**published.machine, "cores": 2, "load_before": 1.5})
    assert "load 1.5 on 2 cores" in warning(busy)
    assert warning(replace(busy, machine={**busy.machine, "load_before": 0.4})) == ""


def test_only_full_runs_are_published(published: Report, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a quick one"):
        publish(replace(published, plan="quick"), tmp_path)
    with pytest.raises(UsageError, match="should hold once"):
        with_part("no marks", "part")


def test_units_keep_three_digits() -> None:
    assert [duration(one) for one in (4.1534e-6, 0.0123, 1.2, None)] == ["4.15 µs", "12.3 ms", "1.20 s", "-"]
    assert [size(one) for one in (108_214, 61_200_000, None)] == ["108 kB", "61.2 MB", "-"]
    assert [rate(one) for one in (5_344_321.0, 42.4, None)] == ["5,340,000", "42", "-"]


def test_an_entrant_is_measured_or_says_why() -> None:
    assert Entrant("x", "X", "measured", False) == Entrant("x", "X", "measured", False, False, None, None)
