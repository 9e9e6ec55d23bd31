"""`fmnist-edge deploy --check`: what it finds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fmnist_edge.kit import SUMS, sums_of

from .conftest import run


@pytest.fixture
def mine(kit: Path, tmp_path: Path) -> Path:
    """A copy of the kit that may be damaged."""
    return shutil.copytree(kit, tmp_path / "mine")


def resum(kit: Path) -> None:
    """Write the sums anew, as someone would who wants damage to go unnoticed."""
    files = {path.relative_to(kit).as_posix(): path.read_bytes() for path in kit.rglob("*") if path.is_file()}
    (kit / SUMS).write_bytes(sums_of({name: content for name, content in files.items() if name != SUMS}))


def failures(kit: Path) -> list[str]:
    done = run("deploy", "--check", kit)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: the kit in ")
    return [line.removeprefix("FAIL ") for line in done.stdout.splitlines() if line.startswith("FAIL")]


def test_a_whole_kit_passes_and_reproduces_its_answers(kit: Path) -> None:
    done = run("deploy", "--check", kit)
    assert done.returncode == 0
    assert "FAIL" not in done.stdout
    assert "20 images: 0 labels differ" in done.stdout
    assert "6 photos: 0 labels differ" in done.stdout
    assert "the web page has no runtime yet" in done.stderr


def test_files_in_onnxruntimes_own_format_give_the_same_answers(tmp_path: Path) -> None:
    assert run("deploy", tmp_path / "out", "--ort").returncode == 0
    done = run("deploy", "--check", tmp_path / "out")
    assert done.returncode == 0
    assert "fmnist-photo.int8.ort: 6 photos: 0 labels differ" in done.stdout
    assert "fmnist-mlp.int8.ort: 20 images: 0 labels differ" in done.stdout
    (tmp_path / "out" / "fmnist-mlp.int8.ort").write_bytes(b"no model")
    assert any("fmnist-mlp.int8.ort" in line and "load" in line for line in failures(tmp_path / "out"))


@pytest.mark.parametrize("name", ["python/classify.py", "web/index.html", "fmnist-photo.int8.md"])
def test_a_changed_or_missing_file_is_named(mine: Path, name: str) -> None:
    (mine / name).write_bytes((mine / name).read_bytes() + b"\n")
    assert failures(mine) == [f"{name} is not the file that was deployed"]
    (mine / name).unlink()
    assert failures(mine) == [f"{name} is missing"]


def test_many_damaged_files_are_counted(mine: Path) -> None:
    shutil.rmtree(mine / "web")
    found = failures(mine)
    assert len(found) == 6
    assert found[-1].endswith("more files")


def test_another_model_is_found_even_if_the_sums_say_otherwise(mine: Path) -> None:
    model = mine / "fmnist-mlp.int8.onnx"
    model.write_bytes(model.read_bytes() + b"\x72\x00")
    resum(mine)
    assert failures(mine) == ["fmnist-mlp.int8.onnx: SHA-256 not as recorded"]


def change_json(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_other_answers_are_found_even_if_the_sums_say_otherwise(mine: Path) -> None:
    def shift(vectors: dict) -> None:  # type: ignore[type-arg]
        vectors["photo"]["answers"][2]["probabilities"][0] += 0.2

    change_json(mine / "vectors" / "vectors.json", shift)
    resum(mine)
    found = failures(mine)
    assert len(found) == 1
    assert found[0].startswith("largest difference of a probability 0.2 (at most ")


def test_labels_in_another_order_are_found_even_if_the_sums_say_otherwise(mine: Path) -> None:
    labels = json.loads((mine / "labels.json").read_text())
    (mine / "labels.json").write_text(json.dumps(labels[::-1]))
    resum(mine)
    assert failures(mine) == ["labels.json and model.json: the labels are not those of the models"]


@pytest.mark.parametrize("name", ["model.json", "vectors/vectors.json", "vectors/images.u8", "fmnist-mlp.int8.onnx"])
def test_damage_of_any_kind_is_a_finding_and_no_traceback(mine: Path, name: str) -> None:
    (mine / name).write_bytes((mine / name).read_bytes()[:-100])
    assert f"{name} is not the file that was deployed" in failures(mine)


def test_files_of_someones_own_are_noted_and_no_fault_those_of_npm_not_even_noted(mine: Path) -> None:
    (mine / "node" / "node_modules").mkdir()
    (mine / "node" / "node_modules" / "x.js").write_text("")
    (mine / "python" / "mine.py").write_text("")
    done = run("deploy", "--check", mine)
    assert done.returncode == 0
    assert "1 file is not part of the kit, the first: python/mine.py" in done.stderr


@pytest.mark.parametrize("content", [None, "", "not a list", f"{'0' * 64}  ../../etc/passwd\n", f"{'0' * 64}  a.txt\n"])
def test_a_folder_that_is_no_kit_exits_with_3_and_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / SUMS).write_text(content)
    done = run("deploy", "--check", tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith("Error: no kit in ")
