"""`fmnist-edge deploy` through the installed entry point: what it writes, and what it refuses."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from fmnist_edge import LABELS
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, read_side_json

from .conftest import ROOT, SCRIPT, run

posix = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_kit_holds_models_description_vectors_examples_and_page_and_nothing_else(kit: Path) -> None:
    expected = {"SHA256SUMS", "README.md", "LICENSE", "LICENSE-fashion-mnist.txt", "labels.json", "model.json"}
    expected |= {f"{name}.{end}" for name in ("fmnist-mlp.int8", "fmnist-photo.int8") for end in ("onnx", "md")}
    expected |= {"python/classify.py", "node/classify.js", "node/package.json", "node/.npmrc"}
    found = names(kit)
    assert {name for name in found if not name.startswith(("web/", "vectors/"))} == expected
    assert {name for name in found if name.startswith("vectors/")} == {
        "vectors/vectors.json",
        "vectors/images.u8",
        *(f"vectors/photo-{number}.rgb" for number in range(6)),
    }
    page = {"index.html", "fmnist-photo.int8.onnx", "fmnist-mlp.int8.onnx", "labels.json", "service-worker.js"}
    assert {f"web/{name}" for name in page} <= found


def test_models_are_the_shipped_ones_and_described_as_they_are(kit: Path) -> None:
    assert json.loads((kit / "labels.json").read_text()) == list(LABELS)
    description = json.loads((kit / "model.json").read_text())
    for kind, model in (("classifier", EMBEDDED_CLASSIFIER), ("photo", EMBEDDED_PHOTO_MODEL)):
        assert (kit / model.name).read_bytes() == model.read_bytes()
        assert description[kind] == read_side_json(model)
    assert description["web_runtime"] is None


def test_vectors_are_readable_with_numpy_alone_and_photos_are_small(kit: Path) -> None:
    vectors = json.loads((kit / "vectors" / "vectors.json").read_text())
    classifier, photo = vectors["classifier"], vectors["photo"]
    images = np.fromfile(kit / "vectors" / classifier["images"], np.uint8).reshape(classifier["shape"])
    assert images.shape == (20, 28, 28)
    sizes = [(kit / "vectors" / answer["file"]).stat().st_size for answer in photo["answers"]]
    assert len(sizes) == 6
    assert max(sizes) <= 80 * 1024
    for answer in (*classifier["answers"], *photo["answers"]):
        assert LABELS[int(np.argmax(answer["probabilities"]))] == answer["label"]
        assert abs(sum(answer["probabilities"]) - 1) < 1e-4


def test_the_sums_are_those_that_sha256sum_reads(kit: Path) -> None:
    lines = (kit / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split("  ", 1)) for line in lines)
    assert listed.keys() == names(kit) - {"SHA256SUMS"}
    assert all(hashlib.sha256((kit / name).read_bytes()).hexdigest() == digest for name, digest in listed.items())


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_sha256sum_itself_finds_all_well(kit: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=kit, check=True)


def test_the_same_command_gives_the_same_bytes(kit: Path, tmp_path: Path) -> None:
    assert run("deploy", tmp_path / "again", cwd=tmp_path).returncode == 0
    assert (tmp_path / "again" / "SHA256SUMS").read_bytes() == (kit / "SHA256SUMS").read_bytes()


def test_without_npm_one_line_says_what_to_do_for_the_web_page(tmp_path: Path) -> None:
    done = run("deploy", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "npm install onnxruntime-web" in done.stderr
    assert done.stdout.startswith("wrote out: ")
    assert run("deploy", "out", "-q", cwd=tmp_path).stderr == ""


def test_the_runtime_comes_from_the_folder_named_or_from_node_modules_above(package: Path, tmp_path: Path) -> None:
    for number, where in enumerate((package, package / "dist", package.parent, package.parent.parent)):
        assert run("deploy", tmp_path / str(number), "--web-runtime", where, cwd=tmp_path).returncode == 0
    deeper = package.parent.parent / "deeper"
    deeper.mkdir()
    assert run("deploy", tmp_path / "found", cwd=deeper).returncode == 0
    for kit in ("0", "1", "2", "3", "found"):
        folder = tmp_path / kit / "web" / "ort"
        assert names(folder) == {"ort.wasm.min.js", "ort-wasm-simd-threaded.js", "ort-wasm-simd-threaded.wasm"}
        assert (folder / "ort.wasm.min.js").read_text() == "content of ort.wasm.min.mjs"
        assert '"ort/ort.wasm.min.js": "sha256-' in (tmp_path / kit / "web" / "service-worker.js").read_text()
        assert json.loads((tmp_path / kit / "model.json").read_text())["web_runtime"] == "onnxruntime-web 1.30.0"


@pytest.mark.parametrize(
    ("version", "line"), [("1.18.0", "1.19 or newer is needed"), ("1.9.0", "1.19 or newer is needed"), ("x", "1.19")]
)
def test_a_runtime_that_is_too_old_is_refused(package: Path, tmp_path: Path, version: str, line: str) -> None:
    (package / "package.json").write_text(json.dumps({"version": version}))
    done = run("deploy", tmp_path / "out", "--web-runtime", package)
    assert done.returncode == 2
    assert line in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_runtime_that_is_found_but_too_old_is_passed_over(package: Path) -> None:
    (package / "package.json").write_text(json.dumps({"version": "1.18.0"}))
    done = run("deploy", "out", cwd=package.parent)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "npm install onnxruntime-web" in done.stderr


def test_a_folder_without_the_runtime_is_refused(tmp_path: Path) -> None:
    done = run("deploy", tmp_path / "out", "--web-runtime", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not a folder of the npm package onnxruntime-web" in done.stderr


def test_a_folder_that_is_no_kit_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("mine")
    for options in ([], ["--overwrite"]):
        done = run("deploy", tmp_path, *options)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "not empty and not a kit" in done.stderr
    assert names(tmp_path) == {"photo.jpg"}
    done = run("deploy", tmp_path / "photo.jpg")
    assert (done.returncode, "is a file" in done.stderr) == (2, True)


def test_a_kit_is_replaced_but_not_with_files_of_someones_own(kit: Path, tmp_path: Path) -> None:
    mine = tmp_path / "kit"
    shutil.copytree(kit, mine)
    (mine / "labels.json").unlink()
    assert run("deploy", mine).returncode == 0
    assert (mine / "labels.json").exists()
    (mine / "python" / "mine.py").write_text("print()")
    done = run("deploy", mine)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "(python/mine.py)" in done.stderr
    assert run("deploy", mine, "--overwrite").returncode == 0
    assert names(mine) == names(kit)


def test_what_npm_installed_is_known_and_stays(kit: Path, tmp_path: Path) -> None:
    mine = tmp_path / "kit"
    shutil.copytree(kit, mine)
    package = mine / "node" / "node_modules" / "sharp" / "lib" / "index.js"
    package.parent.mkdir(parents=True)
    package.write_text("sharp")
    (mine / "node" / "node_modules" / ".bin").mkdir()
    (mine / "node" / "node_modules" / ".bin" / "sharp").symlink_to("../sharp/lib/index.js")
    (mine / "node" / "package-lock.json").write_text("{}")
    (mine / "node_modules" / "onnxruntime-web").mkdir(parents=True)  # `npm install onnxruntime-web` in the kit itself
    (mine / "package.json").write_text("{}")
    (mine / "python" / "__pycache__").mkdir()
    (mine / "python" / "__pycache__" / "classify.pyc").write_text("")
    before = package.stat().st_ino
    assert run("deploy", mine).returncode == 0
    assert (package.read_text(), package.stat().st_ino) == ("sharp", before)
    assert (mine / "node" / "node_modules" / ".bin" / "sharp").readlink() == Path("../sharp/lib/index.js")
    assert (mine / "node" / "package-lock.json").exists()
    assert (mine / "package.json").exists()
    assert (mine / "node_modules" / "onnxruntime-web").is_dir()
    assert "not part of the kit" not in run("deploy", "--check", mine).stderr
    (mine / "node" / "package.json").write_text("{}")  # ours, and changed
    assert "(node/package.json)" in run("deploy", mine).stderr


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A classifier of someone's own, with nothing beside it, under a name that no URL takes."""
    path = tmp_path / "theirs" / "my own #1.int8.onnx"
    path.parent.mkdir()
    model = onnx.load(EMBEDDED_CLASSIFIER)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "output_bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias)[::-1].copy(), "output_bias"))
    onnx.save(model, path)
    return path


def test_a_model_of_ones_own_takes_the_place_of_the_embedded_one_of_its_kind(own: Path, tmp_path: Path) -> None:
    assert run("deploy", tmp_path / "out", "--model", own).returncode == 0
    description = json.loads((tmp_path / "out" / "model.json").read_text())
    assert description["classifier"]["file"] == "my-own--1.int8.onnx"
    assert description["photo"]["file"] == EMBEDDED_PHOTO_MODEL.name
    assert (tmp_path / "out" / "my-own--1.int8.onnx").read_bytes() == own.read_bytes()
    assert not (tmp_path / "out" / EMBEDDED_CLASSIFIER.name).exists()
    done = run("deploy", "--check", tmp_path / "out")
    assert (done.returncode, "my-own--1.int8.onnx: SHA-256 as recorded" in done.stdout) == (0, True)
    program = [sys.executable, tmp_path / "out" / "python" / "classify.py"]
    image = ROOT / "samples" / "0-t-shirt-top.png"
    mine = subprocess.run([*program, image], capture_output=True, text=True, check=True).stdout
    assert mine == run("classify", "--model", own, image).stdout


def test_what_convert_wrote_beside_a_model_is_taken_with_it(own: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    description = {**read_side_json(EMBEDDED_CLASSIFIER), "name": "mine", "version": "7"}
    own.with_suffix(".json").write_text(json.dumps(description))
    own.with_suffix(".md").write_text("# mine")
    vectors = json.loads(EMBEDDED_CLASSIFIER.with_suffix(".vectors.json").read_text())
    own.with_suffix(".vectors.json").write_text(json.dumps(vectors))
    done = run("deploy", tmp_path / "out", "--model", own)
    assert (done.returncode, done.stderr.count("\n"), "another file" in done.stderr) == (3, 1, True)
    own.with_suffix(".vectors.json").write_text(json.dumps({**vectors, "model_sha256": digest}))
    assert run("deploy", tmp_path / "out", "--model", own).returncode == 0
    told = json.loads((tmp_path / "out" / "model.json").read_text())["classifier"]
    assert (told["name"], told["version"], told["sha256"]) == ("mine", "7", digest)
    assert (tmp_path / "out" / "my-own--1.int8.md").read_text() == "# mine"
    index = json.loads((tmp_path / "out" / "vectors" / "vectors.json").read_text())
    assert index["classifier"]["answers"][0]["probabilities"] == vectors["images"][0]["probabilities"]


def test_two_models_of_a_kind_no_model_and_a_model_inside_the_folder_are_refused(own: Path, tmp_path: Path) -> None:
    done = run("deploy", tmp_path / "out", "--model", own, "--model", EMBEDDED_CLASSIFIER)
    assert (done.returncode, "are both a classifier" in done.stderr) == (2, True)
    done = run("deploy", tmp_path / "out", "--model", ROOT / "LICENSE")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    done = run("deploy", own.parent, "--model", own, "--overwrite")
    assert (done.returncode, "which is replaced as a whole" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
    assert own.exists()


def test_an_empty_folder_becomes_the_kit(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("deploy", tmp_path / "empty").returncode == 0
    assert (tmp_path / "empty" / "SHA256SUMS").exists()


@pytest.mark.parametrize(
    "option", [["--ort"], ["--reduced-ops"], ["--overwrite"], ["--web-runtime", "."], ["--model", "x.onnx"]]
)
def test_check_refuses_options_that_have_no_effect(kit: Path, option: list[str]) -> None:
    done = run("deploy", "--check", kit, *option)
    assert done.returncode == 2
    assert "no effect" in done.stderr


@posix
@pytest.mark.parametrize("options", [[], ["-q"]])
def test_a_person_at_a_terminal_sees_what_is_being_done(tmp_path: Path, options: list[str]) -> None:
    theirs, ours = os.openpty()
    try:
        done = subprocess.run([SCRIPT, "deploy", tmp_path / "out", "--reduced-ops", *options], stderr=ours, check=True)
    finally:
        os.close(ours)
    said = b""
    with contextlib.suppress(OSError):  # what Linux raises at the end of a terminal
        while piece := os.read(theirs, 1024):
            said += piece
    os.close(theirs)
    assert done.returncode == 0
    steps = (b"looking for onnxruntime-web ...", b"reading the models ...", b"listing the operators ...", b"writing ")
    assert [step in said for step in steps] == [not options] * 4


@posix
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        "from fmnist_edge.cli.main import main; sys.argv = ['fmnist-edge', 'deploy', sys.argv[1]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a" / "out"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("Error: cannot write the folder ")
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_leaves_nothing_or_a_whole_kit(tmp_path: Path, kind: signal.Signals) -> None:
    for delay in (0.05, 0.3, 0.6):
        running = subprocess.Popen(
            [SCRIPT, "deploy", "out", "--ort"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(delay)
        running.send_signal(kind)
        running.wait(60)
        if (tmp_path / "out").exists():
            assert run("deploy", "--check", "out", cwd=tmp_path).returncode == 0
        if kind != signal.SIGKILL:
            assert {path.name for path in tmp_path.iterdir()} <= {"out"}
    assert run("deploy", "out", cwd=tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_licence_in_the_kit_is_that_of_the_repository(kit: Path) -> None:
    assert (kit / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
