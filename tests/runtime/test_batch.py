"""Many images in a stream: order, laziness, and answers that no neighbour, thread or batch changes."""

from __future__ import annotations

import io
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_edge import Classifier, ImageError, batch
from fmnist_edge.batch import Result, classify_all
from fmnist_edge.classifier import Prediction
from fmnist_edge.images import load_image
from tests.runtime.pictures import encoded, garment

SAMPLES = [str(path) for path in sorted((Path(__file__).parents[2] / "samples").glob("*.png"))]
INPUTS = [*SAMPLES, "missing.png", str(Path(__file__))]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


def facts(results: list[Result]) -> list[tuple[str, bytes | str]]:
    """Return what two runs must share to the bit."""
    return [
        (result.path, result.prediction.probabilities.tobytes() if result.prediction else result.error.code)
        for result in results
        if result.prediction or result.error
    ]


def alone(classifier: Classifier, path: str) -> tuple[str, bytes | str]:
    try:
        return path, classifier.classify(path).probabilities.tobytes()
    except ImageError as error:
        return path, error.code


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(INPUTS), max_size=40), st.sampled_from([1, 2, 7, 256]), st.sampled_from([1, 2]))
def test_answers_are_the_same_to_the_bit_alone_batched_or_threaded(paths: list[str], size: int, threads: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "BATCH", size)
        together = facts(list(classify_all(CLASSIFIERS[threads - 1], paths)))
    assert together == [alone(CLASSIFIERS[0], path) for path in paths]


CLASSIFIERS = [Classifier(threads=1), Classifier(threads=2)]


def test_many_threads_on_one_classifier_get_the_answers_of_one(classifier: Classifier) -> None:
    expected = facts(list(classify_all(classifier, INPUTS)))
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: facts(list(classify_all(classifier, INPUTS))), range(40)))
    assert all(run == expected for run in runs)


def test_rows_come_in_the_order_given_with_errors_in_their_place(classifier: Classifier) -> None:
    paths = [SAMPLES[3], "missing.png", SAMPLES[1], str(Path(__file__)), SAMPLES[3]]
    results = list(classify_all(classifier, paths))
    assert [result.path for result in results] == paths
    assert [result.error.code if result.error else None for result in results] == [
        None,
        "missing-file",
        None,
        "not-an-image",
        None,
    ]


def test_an_endless_list_of_inputs_is_read_no_further_than_a_batch_ahead(classifier: Classifier) -> None:
    taken = itertools.count()

    def endless() -> itertools.chain[str]:
        return itertools.chain.from_iterable([SAMPLES[next(taken) % 10]] for _ in itertools.repeat(None))

    answers = list(itertools.islice(classify_all(classifier, endless()), 1000))
    assert len(answers) == 1000
    assert next(taken) <= 1000 + batch.BATCH


def test_a_batch_is_run_before_it_is_full_when_inputs_are_slow(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_SECONDS", 0)
    taken: list[str] = []

    def slow() -> itertools.chain[str]:
        return itertools.chain.from_iterable([taken.append(path) or path] for path in SAMPLES)  # type: ignore[func-returns-value]

    next(classify_all(classifier, slow()))
    assert taken == SAMPLES[:1]


def test_a_dash_is_standard_input(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encoded(garment()))))
    (result,) = classify_all(classifier, ["-"])
    assert facts([result]) == [("-", classifier.classify(garment()).probabilities.tobytes())]


def test_a_folder_stands_for_its_files_only_if_recursive(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(encoded(garment()))
    (without,) = classify_all(classifier, [tmp_path])
    assert without.error is not None
    assert "-r" in str(without.error)
    (inside,) = classify_all(classifier, [tmp_path], recursive=True)
    assert (inside.path, inside.error) == (str(tmp_path / "1.png"), None)


def test_a_file_that_vanishes_after_it_was_listed_is_missing(classifier: Classifier, tmp_path: Path) -> None:
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path in paths:
        path.write_bytes(encoded(garment()))

    def vanishing() -> itertools.chain[Path]:
        return itertools.chain.from_iterable([path.unlink() or path] for path in paths)  # type: ignore[func-returns-value]

    assert [result.error.code for result in classify_all(classifier, vanishing()) if result.error] == [
        "missing-file"
    ] * 2


def test_unsure_changes_the_label_alone() -> None:
    probabilities = np.array([0.125, 0.5, 0.375] + [0.0] * 7, np.float32)
    sure, unsure = (
        Result("x.png", Prediction(probabilities, model="m.onnx", unsure_below=limit)).as_record()
        for limit in (0.5, 0.501)
    )
    assert sure == {
        "path": "x.png",
        "label": "Trouser",
        "index": 1,
        "confidence": 0.5,
        "top": [
            {"label": "Trouser", "index": 1, "probability": 0.5},
            {"label": "Pullover", "index": 2, "probability": 0.375},
            {"label": "T-shirt/top", "index": 0, "probability": 0.125},
        ],
        "model": "m.onnx",
        "error": None,
    }
    assert unsure == sure | {"label": "unsure"}


def test_a_loaded_image_is_what_the_classifier_sees(classifier: Classifier) -> None:
    expected = classifier.predict(load_image(SAMPLES[0])[None])[0]
    (result,) = classify_all(classifier, SAMPLES[:1])
    assert result.prediction is not None
    assert np.array_equal(result.prediction.probabilities, expected)
