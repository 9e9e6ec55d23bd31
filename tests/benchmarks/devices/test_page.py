"""docs/devices.md is of the files that are shipped, and of a run in which every row held."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fmnist_bench.devices.page import main, page
from fmnist_bench.devices.result import Result
from fmnist_bench.devices.table import facts
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

PAGE = Path(__file__).parents[3] / "docs" / "devices.md"


@pytest.mark.parametrize("model", [EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL], ids=lambda path: path.stem)
def test_the_page_is_of_the_shipped_files(model: Path) -> None:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert digest[:12] in PAGE.read_text(), "run `make devices devices-page`: the page is of another file"


def test_every_row_of_the_page_held_and_every_fault_was_caught() -> None:
    text = PAGE.read_text()
    assert "failed" not in text.split("## What the planted faults are")[0].split("| device |")[1]
    assert "not run |" not in text
    assert "NOT CAUGHT" not in text
    assert text.count("| caught |") >= 5


def test_no_page_is_made_of_a_run_that_left_rows_out(this_machine: Result, tmp_path: Path) -> None:
    source = tmp_path / "devices.json"
    source.write_text(json.dumps(facts([this_machine], "a CPU")))
    answer = CliRunner().invoke(main, [str(source), str(tmp_path / "page.md")])
    assert answer.exit_code == click.ClickException.exit_code
    assert "has no answers of Arm Cortex-A53" in answer.output
    assert not (tmp_path / "page.md").exists()
    assert "a CPU" in page(json.loads(source.read_text()))
