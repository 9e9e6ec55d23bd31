"""The examples for Spark and Dask run as they stand and label as `classify` does."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

from fmnist_bench.lake import draw
from tests.lake.conftest import HERE, SCRIPT

EXAMPLES = HERE.parents[1] / "docs" / "examples"


def shown(*command: str) -> dict[str, str]:
    """Return what an example printed, by file name."""
    python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=os.environ | python, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^(?:file:)?(/.*?): (.*)$", done.stdout, re.MULTILINE)
    return {Path(path.replace("%20", " ")).name: label for path, label in lines}


def labels(*paths: Path) -> dict[str, str]:
    """Return the label that `classify` gives, by file name; of an error its code."""
    command = [SCRIPT, "classify", "-q", "--format", "csv", *map(str, paths)]
    rows = csv.DictReader(subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines())
    return {Path(row["path"]).name: row["label"] or f"error: {row['error_code']}" for row in rows}


def test_the_spark_example_labels_as_classify_does(tmp_path: Path) -> None:
    draw(tmp_path, 8, 4)
    (tmp_path / "text.txt").write_text("no image")
    found = shown(str(EXAMPLES / "spark_udf.py"), str(tmp_path))
    assert len(found) == 13
    assert found == labels(*tmp_path.iterdir())


def test_the_dask_example_labels_as_classify_does(tmp_path: Path) -> None:
    paths = [*sorted(draw(tmp_path / "images", 8, 4).iterdir()), tmp_path / "none.png"]
    for number in range(0, len(paths), 5):
        part = "\n".join(map(str, paths[number : number + 5]))
        (tmp_path / f"{number}.csv").write_text(f"path\n{part}\n")
    found = shown(str(EXAMPLES / "dask_partitions.py"), str(tmp_path / "*.csv"))
    assert len(found) == 13
    assert found == labels(*paths)
