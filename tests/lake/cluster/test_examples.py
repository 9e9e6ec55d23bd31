"""The examples for Spark and Dask run as they stand, and a process opens the model once however often it is sent."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lake.cluster.runs import SCRIPT, environment

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
SAMPLES = ROOT / "samples"
SPARK = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment(**SPARK), check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def labels(*paths: Path) -> dict[str, str]:
    """Return the best class that `classify` finds, by file name; of an error its code."""
    command = [SCRIPT, "classify", "--format", "csv", "--min-confidence", "0", *map(str, paths)]
    rows = csv.DictReader(subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines())
    return {Path(row["path"]).name: row["label"] or f"error: {row['error_code']}" for row in rows}


def by_name(shown: str) -> dict[str, str]:
    """Return what an example printed, by file name."""
    return {Path(path).name: label for path, label in re.findall(r"^(?:file:)?(/.*?): (.*)$", shown, re.MULTILINE)}


def test_the_spark_example_labels_as_classify_does(tmp_path: Path) -> None:
    for path in [*SAMPLES.glob("*.png"), *SAMPLES.glob("photos/*.jpg")]:
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "text.txt").write_text("no image")
    shown = run(str(EXAMPLES / "spark_udf.py"), str(tmp_path))
    assert by_name(shown) == labels(*tmp_path.iterdir())


def test_the_dask_example_labels_as_classify_does(tmp_path: Path) -> None:
    paths = [*sorted(SAMPLES.glob("*.png")), tmp_path / "none.png"]
    for number in range(0, len(paths), 4):
        part = "\n".join(map(str, paths[number : number + 4]))
        (tmp_path / f"{number}.csv").write_text(f"path\n{part}\n")
    shown = run(str(EXAMPLES / "dask_partitions.py"), str(tmp_path / "*.csv"))
    assert by_name(shown) == labels(*paths)


SPARK_PROGRAM = """
import json, os, sys
import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf
from pyspark.sql.types import StringType
from fmnist_edge import Classifier
classifier = Classifier()

@pandas_udf(StringType())
def which(numbers: pd.Series) -> pd.Series:
    return numbers.map(lambda _: f"{os.getpid()} {id(classifier._session)}")

spark = SparkSession.builder.master("local[2]").getOrCreate()
rows = []
for _ in range(3):
    rows += spark.range(0, 8, 1, 8).select(which("id")).collect()
print(json.dumps([row[0] for row in rows]))
"""
DASK_PROGRAM = """
import json, os, sys
import dask.dataframe as dd
import pandas as pd
from fmnist_edge import Classifier

def which(part, classifier):
    return part.assign(which=f"{os.getpid()} {id(classifier._session)}")

if __name__ == "__main__":
    frame = dd.from_pandas(pd.DataFrame({"n": range(16)}), npartitions=16)
    found = frame.map_partitions(which, Classifier(), meta={"n": int, "which": str})
    print(json.dumps(list(found.compute(scheduler="processes", num_workers=2)["which"])))
"""


def sessions(program: str, path: Path) -> list[tuple[str, str]]:
    """Run a program in a file, and return process and session of each of its tasks."""
    path.write_text(program)
    answers: list[Any] = json.loads(run(str(path)).splitlines()[-1])
    return [tuple(answer.split()) for answer in answers]


def test_a_process_of_spark_or_dask_opens_one_session_for_all_its_tasks(tmp_path: Path) -> None:
    for program, tasks in ((SPARK_PROGRAM, 24), (DASK_PROGRAM, 16)):
        found = sessions(program, tmp_path / "program.py")
        processes = {process for process, _ in found}
        assert len(found) == tasks
        assert 1 <= len(processes) <= 8  # Spark starts new ones as it sees fit
        assert len(set(found)) == len(processes)
        assert len(processes) < tasks
