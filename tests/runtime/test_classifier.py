"""The Python interface: what it takes, what it refuses, and that neighbours, threads and processes change nothing."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import fmnist_edge
from fmnist_edge import LABELS, Classifier, ImageError, ModelError, Prediction, UsageError
from fmnist_edge.classifier import CHUNK
from fmnist_edge.dataset import load_split
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER
from fmnist_edge.session import open_session

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.png"))
PHOTO = Path(__file__).parents[2] / "samples" / "photos" / "t-shirt-1.jpg"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.fixture(scope="module")
def test_split() -> Any:
    return load_split("test")


def test_the_embedded_model_is_as_accurate_as_promised(classifier: Classifier, test_split: Any) -> None:
    best = classifier.predict(test_split.images).argmax(axis=1)
    assert np.mean(best == test_split.labels) >= 0.895


def test_probabilities_are_float32_and_sum_to_one(classifier: Classifier, test_split: Any) -> None:
    probabilities = classifier.predict(test_split.images[:300])
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (300, 10))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_an_empty_batch_gives_an_empty_answer(classifier: Classifier) -> None:
    assert classifier.predict(np.zeros((0, 28, 28), np.uint8)).shape == (0, 10)


@settings(max_examples=30)
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.just(28), st.just(28))))
def test_alone_batched_or_with_more_threads_the_bits_are_equal(images: np.ndarray) -> None:
    one, four = Classifier(), Classifier(threads=4)
    together = one.predict(images)
    assert np.array_equal(together, np.concatenate([one.predict(image[None]) for image in images]))
    assert np.array_equal(together, four.predict(images))


@pytest.mark.parametrize("count", [0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 1])
def test_answers_do_not_depend_on_how_many_images_come_at_once(
    classifier: Classifier, test_split: Any, count: int
) -> None:
    session = open_session(EMBEDDED_CLASSIFIER)
    images = test_split.images[:count]
    assert np.array_equal(classifier.predict(images), session.run(["probabilities"], {"image": images})[0])


def test_an_answer_stays_when_the_next_image_comes_and_strides_do_not_matter(
    classifier: Classifier, test_split: Any
) -> None:
    first = classifier.predict(test_split.images[:1])
    kept = first.copy()
    turned = np.asfortranarray(test_split.images[1])[None, ::-1, ::-1]
    second = classifier.predict(turned)
    assert np.array_equal(first, kept)
    assert np.array_equal(second, classifier.predict(np.concatenate([turned, turned]))[:1])


def test_threads_that_classify_one_image_at_a_time_do_not_meet(classifier: Classifier, test_split: Any) -> None:
    images = test_split.images[:400]
    expected = classifier.predict(images)
    with ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(lambda image: classifier.predict(image[None])[0], images))
    assert np.array_equal(np.stack(alone), expected)


def test_many_threads_share_one_classifier(classifier: Classifier, test_split: Any) -> None:
    images = test_split.images[:2000]
    expected = classifier.predict(images)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: classifier.predict(images[at : at + 50]), range(0, 2000, 50)))
    assert np.array_equal(np.concatenate(parts), expected)


def test_a_classifier_that_arrives_often_is_opened_once(tmp_path: Path) -> None:
    content = pickle.dumps(Classifier())
    with ThreadPoolExecutor(4) as pool:
        assert len({id(revived) for revived in pool.map(pickle.loads, [content] * 20)}) == 1
    model = tmp_path / "model.onnx"
    model.write_bytes(EMBEDDED_CLASSIFIER.read_bytes())
    content = pickle.dumps(Classifier(model))
    first = pickle.loads(content)
    assert pickle.loads(content) is first
    os.utime(model, ns=(1, 1))
    assert pickle.loads(content) is not first


def test_a_pickled_classifier_gives_the_same_bits(classifier: Classifier, test_split: Any) -> None:
    revived = pickle.loads(pickle.dumps(Classifier(threads=2)))
    assert revived.threads == 2
    images = test_split.images[:10]
    assert np.array_equal(revived.predict(images), classifier.predict(images))


def test_a_prediction_names_the_best_class(classifier: Classifier) -> None:
    prediction = classifier.classify(SAMPLES[9])
    assert prediction.label == LABELS[prediction.index] == "Ankle boot"
    assert prediction.confidence == prediction.probabilities.max() == prediction.top(1)[0][1]
    assert [index for index, _ in prediction.top(10)] == np.argsort(-prediction.probabilities, kind="stable").tolist()


@pytest.mark.parametrize(("threshold", "label"), [(0.625, "Bag"), (0.626, "unsure"), (0.0, "Bag")])
def test_an_answer_is_unsure_below_the_threshold_and_not_at_it(threshold: float, label: str) -> None:
    probabilities = np.full(10, 0.375 / 9, np.float32)
    probabilities[8] = 0.625
    assert Prediction(probabilities, unsure_below=threshold).label == label


def test_a_prediction_prints_as_one_short_line(classifier: Classifier) -> None:
    assert repr(classifier.classify(SAMPLES[9])) == (
        "Prediction('Ankle boot', confidence=0.9672, unsure=False, model='fmnist-mlp.int8.onnx')"
    )


def test_a_source_of_any_kind_gives_the_same_answer(classifier: Classifier) -> None:
    import PIL.Image

    path = SAMPLES[5]
    with PIL.Image.open(path) as picture, path.open("rb") as file:
        array = np.asarray(picture)
        sources = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), file, picture]
        answers = [classifier.classify(source) for source in [*sources, array, array[None], array[..., None]]]
    for answer in answers:
        assert np.array_equal(answer.probabilities, answers[0].probabilities)


@pytest.mark.parametrize(
    "arguments",
    [
        {"route": "foo"},
        {"threads": 0},
        {"threads": 1.5},
        {"max_pixels": 0},
        {"max_pixels": -1},
        {"unsure_below": 1.1},
        {"unsure_below": -0.1},
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_refused(arguments: dict[str, Any]) -> None:
    [(name, value)] = arguments.items()
    with pytest.raises(UsageError, match=f"{name} is {value!r}") as caught:
        Classifier(**arguments)
    assert caught.value.exit_code == 2


def test_an_image_error_names_its_file_and_survives_pickling(classifier: Classifier, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    with pytest.raises(ImageError) as of_path:
        classifier.classify(text)
    with text.open("rb") as file, pytest.raises(ImageError) as of_file:
        classifier.classify(file)
    with pytest.raises(ImageError) as of_bytes:
        classifier.classify(b"no image")
    for error in (of_path.value, of_file.value, pickle.loads(pickle.dumps(of_path.value))):
        assert (error.code, error.path, str(error)) == ("not-an-image", str(text), f"{text}: {error.message}")
    assert (of_bytes.value.path, str(of_bytes.value)) == (None, of_path.value.message)


def test_a_file_that_gives_text_or_is_closed_is_refused(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "shirt.png").write_bytes(b"text")
    with (tmp_path / "shirt.png").open() as file, pytest.raises(ImageError, match=r"open\(path, 'rb'\)"):
        classifier.classify(file)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="closed file"):
        classifier.classify(file)  # type: ignore[arg-type]


def test_the_models_are_found_inside_a_zip(tmp_path: Path) -> None:
    package = Path(fmnist_edge.__file__).parent
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        for path in package.rglob("*"):
            if path.suffix in (".py", ".onnx", ".json"):
                archive.write(path, path.relative_to(package.parent))
    code = "import sys; from fmnist_edge.cli.main import main; sys.argv[1:1] = ['classify']; main()"
    command = [sys.executable, "-c", code, SAMPLES[9], PHOTO]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path / "app.pyz")})
    assert done.stderr == ""
    shoe, photo = done.stdout.splitlines()
    assert shoe == f"{SAMPLES[9]}: Ankle boot (96.7 %)"
    assert photo.startswith(f"{PHOTO}: ")


def test_the_line_about_missing_graphics_cards_is_dropped_and_nothing_else() -> None:
    """Of onnxruntime 1.23 and 1.24 at import, on a Raspberry Pi."""
    code = """
import os, sys
from fmnist_edge.session import quiet_onnxruntime
with quiet_onnxruntime():
    os.write(2, b"before\\n")
    os.write(2, b"\\x1b[0;93m2026-11-28 [W:onnxruntime:Default, x.cc:1 f] GPU device discovery failed: x\\x1b[m\\n")
    print("after", file=sys.stderr)
print("later", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "before\nafter\nlater\n")


@pytest.mark.parametrize(
    ("images", "hint"),
    [
        (np.zeros((28, 28), np.uint8), "images[None]"),
        (np.zeros((2, 28, 28, 1), np.uint8), "images[..., 0]"),
        (np.zeros((2, 28, 28), np.float32), "uint8"),
        (np.zeros((2, 28, 28), np.int64), "astype"),
        (np.zeros((2, 27, 28), np.uint8), "classify()"),
        ([[0] * 28] * 28, "numpy array"),
    ],
)
def test_a_wrong_array_is_refused_with_a_hint(classifier: Classifier, images: Any, hint: str) -> None:
    with pytest.raises(ImageError) as caught:
        classifier.predict(images)
    assert hint in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_missing_model_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fmnist-edge convert"):
        Classifier(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"not onnx", EMBEDDED_CLASSIFIER.read_bytes()[:50_000]])
def test_a_file_that_is_no_model_is_a_model_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        Classifier(path)
    assert caught.value.exit_code == 3


def changed(tmp_path: Path, change: Any) -> Path:
    onnx = pytest.importorskip("onnx", reason="needs the extra [convert]")
    model = onnx.load(EMBEDDED_CLASSIFIER)
    change(model)
    onnx.save(model, tmp_path / "changed.onnx")
    return tmp_path / "changed.onnx"


def test_other_labels_are_refused(tmp_path: Path) -> None:
    def swap(model: Any) -> None:
        entry = next(entry for entry in model.metadata_props if entry.key == "labels")
        entry.value = entry.value.replace("Bag", "Hat")

    with pytest.raises(ModelError, match="its labels are"):
        Classifier(changed(tmp_path, swap))


def test_a_model_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its labels are None"):
        Classifier(changed(tmp_path, lambda model: model.ClearField("metadata_props")))


def test_another_input_is_refused(tmp_path: Path) -> None:
    def rename(model: Any) -> None:
        model.graph.input[0].name = "pixels_in"
        model.graph.node[0].input[0] = "pixels_in"

    with pytest.raises(ModelError, match="pixels_in"):
        Classifier(changed(tmp_path, rename))
