"""All contenders run the same network; who is missing is a row that says so."""

from __future__ import annotations

import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmnist_bench import run
from fmnist_bench.contenders import registry
from fmnist_bench.contenders.registry import CONTENDERS, contender
from fmnist_bench.measuring.environment import environment
from fmnist_bench.measuring.inputs import TestImages
from fmnist_bench.models import Prepared, find_original, prepare_models
from fmnist_edge import Classifier
from fmnist_edge.contract import LABELS
from fmnist_edge.errors import MissingExtraError, ModelError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER

COMPETITORS = [one.key for one in CONTENDERS if not one.is_part]
TENSORFLOW = [one.key for one in CONTENDERS if one.family == "keras"]
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from fmnist_bench.contenders.registry import contender
from fmnist_bench.measuring.inputs import load_test_images
images = load_test_images(Path(sys.argv[1]))
for key in sys.argv[4:]:
    opened = contender(key).open(Path(sys.argv[2]), 1)
    one = np.concatenate([np.array(opened.run(opened.prepare(image[None]))) for image in images.pixels[:50]])
    many = np.array(opened.run_many(opened.prepare(images.pixels[:500])))
    labels = [opened.png_to_label(file) for file in images.files[:50]]
    np.savez(Path(sys.argv[3]) / f"{key}.npz", one=one, many=many, labels=labels)
"""


@pytest.fixture(scope="module")
def answers(work: Path, prepared: Prepared, images: TestImages) -> dict[str, Any]:
    """What each contender answers, in processes like those that are measured."""
    for keys in ([key for key in COMPETITORS if key not in TENSORFLOW], TENSORFLOW):
        command = [sys.executable, "-c", PROGRAM, work / "test-images.npz", prepared.folder, work, *keys]
        subprocess.run([str(part) for part in command], env=environment(1), check=True, capture_output=True)
    return {key: np.load(work / f"{key}.npz") for key in COMPETITORS}


@pytest.mark.parametrize("key", COMPETITORS)
def test_a_contender_answers_as_the_original_does(answers: dict[str, Any], key: str) -> None:
    found, original = answers[key], answers["keras-call"]
    assert found["many"].shape == (500, 10)
    assert np.mean(found["many"].argmax(1) == original["many"].argmax(1)) >= 0.98
    exact = "fp32" in key or key in ("numpy", *TENSORFLOW)
    assert np.abs(found["many"] - original["many"]).max() < (1e-4 if exact else 0.15)


@pytest.mark.parametrize("key", COMPETITORS)
def test_one_image_gets_the_answer_it_gets_among_many_and_the_label_of_its_file(
    answers: dict[str, Any], key: str
) -> None:
    found = answers[key]
    np.testing.assert_allclose(found["one"], found["many"][:50], atol=1e-5 if "litert" not in key else 0.01)
    assert found["labels"].tolist() == [LABELS[index] for index in found["one"].argmax(1)]


def test_the_parts_of_the_graph_are_its_beginnings(prepared: Prepared, images: TestImages) -> None:
    image = images.pixels[:1]
    shapes = {}
    for one in CONTENDERS:
        if one.is_part:
            opened = one.open(prepared.folder, 1)
            shapes[one.key] = opened.run(opened.prepare(image))
    assert np.array_equal(shapes["floor"], image)
    assert [shapes[key].shape for key in ("int8-hidden", "int8-logits")] == [(1, 128), (1, 10)]
    assert np.array_equal(shapes["int8-bound"], Classifier().predict(image))
    assert shapes["int8-logits"].argmax() == shapes["int8-bound"].argmax()


def test_a_contender_that_is_not_installed_is_a_row_that_says_so(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str, *rest: Any) -> Any:
        return None if name == "openvino" else util.find_spec(name, *rest)

    monkeypatch.setattr(registry, "find_spec", find)
    statuses = {one.key: run._entrant(one, prepared, {}).status for one in CONTENDERS}
    assert statuses["openvino-int8"] == "openvino is not installed"
    assert statuses["litert-int8"] == "measured"
    with pytest.raises(MissingExtraError, match=r"OpenVINO int8 \(openvino is not installed\).*fmnist-edge\[bench\]"):
        run._require(prepared)
    families = {task.family for tasks in run._rounds(run.FULL, prepared, prepared.folder) for task in tasks}
    assert families == {"onnx", "litert", "numpy", "keras"}


def test_without_the_original_the_shipped_file_alone_runs(tmp_path: Path) -> None:
    prepared = prepare_models(None, tmp_path)
    able = {one.key for one in CONTENDERS if one.model not in prepared.missing}
    assert able == {"int8-classifier", "int8-session", "int8-bound", "openvino-int8"}
    assert all("--original" in why for why in prepared.missing.values())


def test_an_original_with_other_weights_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.keras"
    other.write_bytes(b"other")
    with pytest.raises(ModelError, match="was not made from"):
        prepare_models(other, tmp_path / "models")
    with pytest.raises(ModelError, match="no model at"):
        find_original(tmp_path / "none.keras")


def test_what_lies_there_is_not_made_again(prepared: Prepared) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in prepared.folder.iterdir()}
    assert prepare_models(find_original(None), prepared.folder) == prepared
    after = {path.name: path.stat().st_mtime_ns for path in prepared.folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {registry.INT8}
    assert (prepared.folder / registry.INT8).read_bytes() == EMBEDDED_CLASSIFIER.read_bytes()


def test_every_contender_has_a_name_of_its_own() -> None:
    assert len({one.key for one in CONTENDERS}) == len({one.title for one in CONTENDERS}) == len(CONTENDERS)
    assert contender("numpy").title == "numpy fp32"
