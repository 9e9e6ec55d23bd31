"""The studies: what they write, and that they overwrite none of the user's files."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import PIL.Image

STUDIES = Path(__file__).parents[2] / "studies"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(STUDIES / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def download(folder: Path) -> Path:
    """Write a download as Kaggle has it: an id in each part, one that is kept back, and a type without a class."""
    (folder / "images").mkdir(parents=True)
    rows = ["id,articleType,name", "400,Tshirts,plain", "700,Sandals,red, and blue", "1200,Ties,silk", "100,Rings,gold"]
    (folder / "styles.csv").write_text("\n".join(rows))
    for number in (100, 400, 700, 1200):
        PIL.Image.new("RGB", (6, 8), "red").save(folder / "images" / f"{number}.jpg")
    return folder


def test_the_catalogue_becomes_a_collection_with_labels(tmp_path: Path) -> None:
    done = run("catalogue.py", download(tmp_path / "source"), tmp_path / "made")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "made" / "labels.csv").open(newline="") as file:
        rows = {row["path"]: row["labels"] for row in csv.DictReader(file)}
    assert rows
    assert set(rows.values()) <= {"0", "5", "none"}
    assert all((tmp_path / "made" / path).is_file() for path in rows)
    assert f"{sum(path.startswith('train/') for path in rows)} pictures to train on" in done.stdout


def test_the_catalogue_is_not_written_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "labels.csv").write_text("mine")
    done = run("catalogue.py", download(tmp_path / "source"), tmp_path / "made")
    assert (done.returncode, done.stderr) == (1, f"{tmp_path / 'made'} is not empty: name a new folder\n")
    assert (tmp_path / "made" / "labels.csv").read_text() == "mine"
