"""The figures of an evaluation, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fmnist_bench.evaluate import (
    Evaluation,
    Share,
    calibration_bins,
    coverages,
    evaluate,
    expected_calibration_error,
    wilson_interval,
)
from fmnist_bench.labelled import Answers, Example, Truth, answer_split, forgive
from fmnist_edge import Classifier
from fmnist_edge.errors import DataError


def answers(rows: list[tuple[int, int, int, float]], **given: object) -> Answers:
    """Make answers from (truth, best, second, confidence); what is left of the probability is the second's."""
    probabilities = np.zeros((len(rows), 10), np.float32)
    for at, (_, best, second, confidence) in enumerate(rows):
        probabilities[at, best], probabilities[at, second] = confidence, 1 - confidence
    return Answers(probabilities, np.array([row[0] for row in rows]), **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured() -> Evaluation:
    return evaluate(answer_split(Classifier(), "test"))


def test_wilson_interval_is_that_of_the_literature() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81/263, 15/148, 0/20, 1/29.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (count, total), interval in published.items():
        assert wilson_interval(count, total) == pytest.approx(interval, abs=5e-5)
    assert wilson_interval(20, 20)[1] == 1
    assert wilson_interval(0, 0) == (0, 1)


def test_precision_recall_and_f1_are_those_worked_out_by_hand() -> None:
    result = evaluate(answers([(0, 0, 1, 0.9), (0, 0, 1, 0.8), (0, 6, 0, 0.7), (6, 0, 6, 0.6), (6, 6, 0, 0.9)]))
    shirt = result.classes[6]
    assert (shirt.images, shirt.predicted, shirt.precision, shirt.recall, shirt.f1) == (2, 2, 0.5, 0.5, 0.5)
    tshirt = result.classes[0]
    assert (tshirt.precision, tshirt.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (result.accuracy.count, result.top_2.count) == (3, 5)
    assert result.confusion[0].tolist() == [2, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    absent = result.classes[3]
    assert (absent.precision, absent.recall, absent.f1) == (None, None, None)


def test_any_of_several_accepted_labels_is_right() -> None:
    shoes, shirts = Truth("shoes", (5, 7, 9)), Truth("shirt", (6,))
    result = evaluate(answers([(0, 7, 1, 0.9), (0, 9, 1, 0.9), (0, 8, 5, 0.9), (1, 5, 6, 0.9)], truths=(shoes, shirts)))
    assert (result.accuracy.count, result.top_2.count) == (2, 4)
    assert [(group.name, group.right.count, group.right.total) for group in result.groups] == [
        ("shoes", 2, 3),
        ("shirt", 0, 1),
    ]
    assert result.classes[0].name == "Sandal|Sneaker|Ankle boot"
    assert result.classes[0].precision == pytest.approx(2 / 3)


def test_forgiven_labels_are_taken_as_one_class() -> None:
    rows = [(0, 6, 1, 0.9), (6, 2, 1, 0.9), (3, 0, 1, 0.9)]
    assert evaluate(answers(rows)).accuracy.count == 0
    result = evaluate(answers(rows), [(0, 2, 6)])
    assert result.accuracy.count == 2
    assert result.classes[0].name == "T-shirt/top|Pullover|Shirt"
    assert (result.classes[0].predicted, result.classes[0].precision) == (3, pytest.approx(2 / 3))
    assert result.forgiven == (("T-shirt/top", "Pullover", "Shirt"),)
    assert result.confusion.sum(axis=1).tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 0, 0]
    assert forgive((3,), [(0, 2, 6)]) == (3,)


def test_the_calibration_error_weighs_each_bin_by_its_images() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.5])
    bins = calibration_bins(confidence, np.array([True, True, False, True]))
    assert [row.images for row in bins if row.images] == [1, 3]
    assert len(bins) == 15
    assert expected_calibration_error(bins) == pytest.approx((0.5 + 3 * (0.95 - 2 / 3)) / 4)
    assert calibration_bins(np.array([1.0]), np.array([True]))[14].images == 1


def test_a_threshold_keeps_all_that_tie_with_it() -> None:
    confidence = np.array([0.9, 0.8, 0.8, 0.8, 0.1])
    half = next(row for row in coverages(confidence, np.array([True, True, False, True, False])) if row.coverage < 1)
    assert (half.coverage, half.min_confidence) == (0.8, 0.8)
    assert half.right == Share.of(np.array([True, True, False, True]))


def test_on_the_dataset_the_figures_are_those_of_plain_counting(measured: Evaluation) -> None:
    part = answer_split(Classifier(), "test")
    assert measured.confusion.sum() == 10_000
    assert measured.confusion.sum(axis=1).tolist() == [1000] * 10
    assert np.trace(measured.confusion) == measured.accuracy.count == int((part.predicted == part.truth).sum())
    assert measured.accuracy.low < 0.8972 < measured.accuracy.high
    assert sum(row.images for row in measured.bins) == 10_000
    assert measured.coverages[0].right == measured.accuracy


def test_collections_are_told_apart_and_what_shows_no_garment_counts_by_unsure_alone() -> None:
    shirt, shoes, nothing = Truth("Shirt", (6,)), Truth("Sneaker|Ankle boot", (7, 9)), Truth("no garment", ())
    rows = [(0, 6, 1, 0.9), (0, 0, 6, 0.6), (1, 9, 5, 0.9), (1, 7, 5, 0.55), (2, 8, 5, 0.9), (2, 8, 5, 0.5)]
    truths, sources = (shirt, shoes, nothing), ("shop", "shop", "phone", "phone", "phone", "phone")
    kinds = ("polo", "polo", "boot", "sneaker", "watch", "watch")
    examples = tuple(
        Example("", truths[row[0]], "", source, kind) for row, source, kind in zip(rows, sources, kinds, strict=True)
    )
    unsure = np.array([False, True, False, True, False, True])
    result = evaluate(answers(rows, truths=truths, unsure=unsure, examples=examples))
    assert result.accuracy == Share.of(np.array([True, False, True, True]))
    assert [group.name for group in result.groups] == ["Shirt", "Sneaker|Ankle boot"]
    shop, phone, everything = result.sources
    assert (shop.right.count, shop.right.total, shop.mean_of_kinds, shop.no_garment_unsure.total) == (1, 2, 0.5, 0)
    assert (phone.answered, phone.right_of_answered) == (Share.of(np.array([True, False])), Share.of(np.array([True])))
    assert (phone.kinds, phone.mean_of_kinds, phone.no_garment_unsure) == (2, 1.0, Share.of(np.array([False, True])))
    assert (everything.name, everything.right.total, everything.mean_of_kinds) == ("all", 4, pytest.approx(2.5 / 3))


def test_pictures_without_any_garment_have_no_accuracy() -> None:
    truth = Truth("no garment", ())
    picture = Example("a watch", truth, "watch.png")
    nothing = answers([(0, 6, 1, 0.9)], truths=(truth,), unsure=np.array([True]), examples=(picture,))
    with pytest.raises(DataError, match="none of the images shows a garment"):
        evaluate(nothing)
