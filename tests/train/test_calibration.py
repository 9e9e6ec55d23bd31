import numpy as np
import pytest

from fmnist_train.calibration import (
    calibration_error,
    confidence_for,
    fit_partial_temperature,
    fit_temperature,
    fold_temperature,
    log_softmax,
    logits_of,
    score,
)
from fmnist_train.mlp import build_model


@pytest.fixture
def overconfident() -> tuple[np.ndarray, np.ndarray]:
    """Return logits three times too large for labels drawn from the probabilities they should have meant."""
    random = np.random.default_rng(0)
    honest = random.normal(size=(4000, 10)) * 1.5
    cumulative = np.exp(log_softmax(honest)).cumsum(axis=1)
    labels = (random.random((4000, 1)) > cumulative).sum(axis=1).astype(np.uint8)
    return 3 * honest, labels


def test_the_temperature_is_found_that_makes_the_probabilities_honest(
    overconfident: tuple[np.ndarray, np.ndarray],
) -> None:
    logits, labels = overconfident
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(3, rel=0.1)
    best = score(logits / temperature, labels)
    for other in (1.0, temperature * 0.98, temperature * 1.02):
        assert best.negative_log_likelihood < score(logits / other, labels).negative_log_likelihood
    assert best.expected_calibration_error < 0.03 < score(logits, labels).expected_calibration_error


def test_a_temperature_below_one_is_found_too(overconfident: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = overconfident
    assert fit_temperature(logits / 6, labels) == pytest.approx(0.5, rel=0.1)


def test_folding_divides_the_logits_and_changes_no_label() -> None:
    model = build_model()
    images = np.random.default_rng(1).integers(0, 256, (500, 28, 28)).astype(np.uint8)
    logits, labels = logits_of(model, images), model.predict(images, verbose=0).argmax(axis=1)
    fold_temperature(model, 0.25)
    np.testing.assert_allclose(logits_of(model, images), logits / 0.25, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.predict(images, verbose=0).argmax(axis=1), labels)


def test_logits_are_what_the_softmax_is_given() -> None:
    model = build_model()
    *others, bias = model.get_weights()
    model.set_weights([*others, bias + np.arange(10) / 10])
    images = np.random.default_rng(1).integers(0, 256, (20, 28, 28)).astype(np.uint8)
    probabilities = np.exp(log_softmax(logits_of(model, images)))
    np.testing.assert_allclose(model.predict(images, verbose=0), probabilities, atol=1e-5)


def test_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 0.5])
    right = np.array([True, True, True, False, True, True])  # too sure in one bin, not sure enough in the other
    assert calibration_error(confidence, right) == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0.5)


def test_full_confidence_belongs_to_the_last_bin() -> None:
    assert calibration_error(np.array([1.0, 0.99]), np.array([False, True])) == pytest.approx(0.99 / 2)


def test_scores_of_logits_known_by_hand() -> None:
    logits = np.log(np.array([[0.5] + [0.5 / 9] * 9, [0.1] * 9 + [0.1]]))
    scores = score(logits, np.array([0, 3], np.uint8))
    assert scores.accuracy == 0.5
    assert scores.negative_log_likelihood == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2)


def test_a_temperature_for_partial_labels_is_that_for_full_ones_where_one_class_is_accepted(
    overconfident: tuple[np.ndarray, np.ndarray],
) -> None:
    logits, labels = overconfident
    accepted = np.eye(10, dtype=np.float32)[labels]
    assert fit_partial_temperature(logits, accepted) == pytest.approx(3, rel=0.1)
    either = accepted.copy()
    either[:, :5] = np.maximum(either[:, :5], accepted[:, :5].max(axis=1, keepdims=True))  # one of the first five
    assert fit_partial_temperature(logits, either) == pytest.approx(3, rel=0.2)


def test_the_threshold_answers_as_many_as_the_share_of_right_answers_allows() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([True, True, False, True, True])
    assert confidence_for(0.8, confidence, right) == 0.5  # 4 of 5
    assert confidence_for(0.81, confidence, right) == 0.8  # 2 of 2
    assert confidence_for(0.5, confidence, ~right) == 1.0


def test_equal_confidences_are_answered_together() -> None:
    confidence, right = np.array([0.9, 0.8, 0.8, 0.8]), np.array([True, True, False, False])
    assert confidence_for(0.66, confidence, right) == 0.9


def test_evaluation_computes_the_same_calibration_error() -> None:
    evaluate = pytest.importorskip("fmnist_bench.evaluate")
    random = np.random.default_rng(2)
    confidence, right = random.uniform(0.1, 1, 500), random.random(500) < 0.7
    bins = evaluate.calibration_bins(confidence, right)
    assert evaluate.expected_calibration_error(bins) == pytest.approx(calibration_error(confidence, right))
