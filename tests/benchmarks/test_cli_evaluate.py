"""`evaluate` through the installed entry point."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fmnist_edge.model_info import EMBEDDED_PHOTO_MODEL
from tests.reliability.twins import lay_old_files, not_replaced

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLES = Path(__file__).parents[2] / "samples"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, "evaluate", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Sub-folders shirts and shoes of real samples, and one file that is no image."""
    for name, files in {"shirts": ("6-shirt.png", "0-t-shirt-top.png"), "shoes": ("7-sneaker.png",)}.items():
        (tmp_path / name).mkdir()
        for file in files:
            shutil.copy(SAMPLES / file, tmp_path / name)
    (tmp_path / "shoes" / "notes.txt").write_text("no image")
    return tmp_path


def test_text_json_and_csv_state_the_same_accuracy() -> None:
    text, record = run().stdout, json.loads(run("--format", "json").stdout)
    rows = list(csv.reader(io.StringIO(run("--format", "csv").stdout)))
    assert f"{100 * record['accuracy']['share']:.2f} %" in text
    assert ["overall", "", "accuracy", str(record["accuracy"]["share"])] in rows
    assert sum(map(sum, record["confusion"])) == 10_000
    assert sum(int(row[3]) for row in rows if row[0] == "confusion") == 10_000
    assert "\x1b" not in text


def test_a_mapped_folder_is_measured_and_the_unreadable_are_counted(labelled: Path) -> None:
    done = run("--images", labelled, "--map", "shirts=Shirt,shoes=Sandal|Sneaker", "--format", "json")
    record = json.loads(done.stdout)
    assert done.returncode == 1
    assert "notes.txt: error: not an image" in done.stderr
    assert [(group["name"], group["right"]["count"], group["unreadable"]) for group in record["groups"]] == [
        ("shoes", 1, 1),  # in the order of the labels
        ("shirts", 1, 0),
    ]
    assert (record["accuracy"]["count"], record["accuracy"]["total"], record["unreadable"]) == (2, 3, 1)


def test_a_report_and_an_output_file_replace_older_ones_whole(
    labelled: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out, twins = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("twins")
    lay_old_files(out, twins, ["index.html", "figures.txt"])
    done = run(
        *("--images", labelled, "--map", "shirts=Shirt", "--skip", "shoes"),
        *("--report", out, "--output", out / "figures.txt", "--overwrite"),
    )
    assert done.returncode == 0, done.stderr
    assert not_replaced(out, twins) == []


def test_the_title_names_the_models_that_answered(labelled: Path) -> None:
    arguments = ("--images", labelled, "--map", "shirts=Shirt,shoes=Sneaker")
    assert run(*arguments).stdout.startswith(f"fmnist-mlp.int8.onnx on 3 images of {labelled}")
    for photo in ("shoes-1.jpg", "shoes-2.jpg", "shirt-1.jpg", "dress-1.jpg"):
        shutil.copy(SAMPLES / "photos" / photo, labelled / "shoes")
    done = run(*arguments, "--report", labelled.parent / "report")
    assert done.stdout.startswith(f"fmnist-photo.int8.onnx and fmnist-mlp.int8.onnx on 7 images of {labelled}")
    page = (labelled.parent / "report" / "index.html").read_text()
    assert "<td>fmnist-photo.int8.onnx</td>" in page


def test_forgiving_counts_a_t_shirt_as_a_shirt(labelled: Path) -> None:
    done = run("--images", labelled, "--map", "shirts=Shirt", "--skip", "shoes", "--forgive", "T-shirt/top,Shirt")
    assert done.returncode == 0
    assert "2 of 2" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--map", "a=Shirt"),
        ("--skip", "a"),
        ("--images", ".", "--split", "test"),
        ("--images", ".", "--data", "."),
        ("--images", ".", "--enlarged"),
        ("--pictures", ".", "--split", "test"),
        ("--forgive", "Shirt"),
        ("--training-record", "x.json"),
    ],
    ids=" ".join,
)
def test_options_without_effect_are_refused(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).returncode == 2


def test_a_missing_folder_is_exit_code_3(tmp_path: Path) -> None:
    done = run("--images", tmp_path / "missing")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: cannot read the folder")


def test_an_output_file_appears_without_colour(tmp_path: Path) -> None:
    assert run("--output", tmp_path / "e.txt").stdout == ""
    assert (tmp_path / "e.txt").read_text().startswith("fmnist-mlp.int8.onnx on 10,000 test images")


@pytest.fixture
def collections(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of pictures by class, and a zip file whose labels.csv accepts several or none."""
    by_class, zipped = tmp_path / "by-class", tmp_path / "zipped.zip"
    (by_class / "Shirt").mkdir(parents=True)
    shutil.copy(SAMPLES / "6-shirt.png", by_class / "Shirt")
    with zipfile.ZipFile(zipped, "w") as archive:
        for name in ("7-sneaker.png", "8-bag.png"):
            archive.write(SAMPLES / name, f"validation/{name}")
        archive.writestr("train/broken.png", b"no picture")
        rows = "validation/7-sneaker.png,5|7|9\nvalidation/8-bag.png,none\ntrain/broken.png,1\n"
        archive.writestr("labels.csv", f"path,labels\n{rows}")
    return by_class, zipped


def test_collections_of_pictures_are_measured_by_source(collections: tuple[Path, Path]) -> None:
    done = run(*(part for path in collections for part in ("--pictures", path)), "--format", "json")
    assert done.returncode == 0, done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)["sources"]}
    assert {name: one["right"]["total"] for name, one in found.items()} == {"by-class": 1, "zipped.zip": 1, "all": 2}
    assert found["zipped.zip"]["right"]["count"] == 1
    assert (found["all"]["no_garment_unsure"]["count"], found["all"]["no_garment_unsure"]["total"]) == (0, 1)


def test_pictures_of_the_training_part_are_reported_where_they_cannot_be_read(collections: tuple[Path, Path]) -> None:
    done = run("--pictures", collections[0], "--pictures", collections[1], "--split", "train")
    assert done.returncode == 1
    assert "broken.png: error: not an image" in done.stderr


def test_a_photo_model_is_not_asked_about_images_of_the_dataset() -> None:
    done = run("--model", EMBEDDED_PHOTO_MODEL)
    assert done.returncode == 2
    assert "--images DIR or --pictures DIR" in done.stderr


def test_an_output_is_never_an_input_or_a_file_of_the_users(labelled: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("my notes")
    shirt = labelled / "shirts" / "6-shirt.png"
    before = shirt.read_bytes()
    for output in (notes, shirt):
        done = run("--images", labelled / ".", "--map", "shirts=Shirt", "--skip", "shoes", "--output", output)
        assert done.returncode == 2
    assert (notes.read_text(), shirt.read_bytes()) == ("my notes", before)
