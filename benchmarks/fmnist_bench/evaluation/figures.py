"""How good a model's answers are: accuracy, errors by class, calibration, and what `unsure` buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_bench.evaluation.answers import Answers, forgive
from fmnist_bench.evaluation.calibration import Bin, Coverage, calibration_bins, coverages, expected_calibration_error
from fmnist_bench.evaluation.intervals import Share
from fmnist_edge.contract import LABELS

DIGITS: Final = 6  # of a figure in a record


@dataclass(frozen=True)
class ClassFigures:
    """How a class fares: a label, or several that are taken as one."""

    name: str
    images: int
    """Images of this class."""
    predicted: int
    """Images of all classes whose best label is of this class."""
    precision: float | None
    """Share of `predicted` that is right; None if nothing was predicted so."""
    recall: float | None
    """Share of `images` that is right; None if there are none."""
    f1: float | None
    """Harmonic mean of both; None where one is."""


@dataclass(frozen=True)
class GroupFigures:
    """How one truth fares: a class of the dataset or a folder."""

    name: str
    accepted: tuple[str, ...]
    """Names of the labels that count as right, those forgiven among them."""
    right: Share
    predicted: tuple[int, ...]
    """How many images got each of the ten labels: a row of the confusion matrix."""
    unreadable: int = 0


@dataclass(frozen=True)
class Evaluation:
    """All figures of a model on some images. Shares are 0..1."""

    accuracy: Share
    """The best class is right; `unsure` is not left out."""
    top_2: Share
    """One of the two best classes is right."""
    expected_calibration_error: float
    classes: tuple[ClassFigures, ...]
    groups: tuple[GroupFigures, ...]
    bins: tuple[Bin, ...]
    coverages: tuple[Coverage, ...]
    forgiven: tuple[tuple[str, ...], ...] = ()
    """Labels that were taken as one."""
    unreadable: int = 0
    labels: tuple[str, ...] = field(default=LABELS)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """The confusion matrix, int64 [groups, 10]: rows are the truth, columns the predicted label."""
        return np.array([group.predicted for group in self.groups], np.int64)

    def as_record(self) -> dict[str, Any]:
        """Return the figures as JSON values, rounded to DIGITS."""
        record = _rounded(asdict(self))
        assert isinstance(record, dict)
        return record | {"confusion": self.confusion.tolist()}


def evaluate(answers: Answers, forgiven: Sequence[Sequence[int]] = ()) -> Evaluation:
    """Return the figures of answers to at least one image; labels (0..9) forgiven together are taken as one.

    Confidence is always the probability of the single best label.
    """
    accepted, predicted = answers.accepted(forgiven), answers.predicted
    everyone = np.arange(len(predicted))
    right, confidence = accepted[everyone, predicted], answers.confidence
    second = np.argsort(-answers.probabilities, axis=1, kind="stable")[:, 1]
    bins = calibration_bins(confidence, right)
    return Evaluation(
        accuracy=Share.of(right),
        top_2=Share.of(right | accepted[everyone, second]),
        expected_calibration_error=expected_calibration_error(bins),
        classes=_classes(answers, predicted, right, forgiven),
        groups=_groups(answers, predicted, right, forgiven),
        bins=bins,
        coverages=coverages(confidence, right),
        forgiven=tuple(tuple(LABELS[index] for index in group) for group in forgiven),
        unreadable=sum(answers.unreadable),
    )


def _classes(
    answers: Answers, predicted: NDArray[np.int64], right: NDArray[np.bool_], forgiven: Sequence[Sequence[int]]
) -> tuple[ClassFigures, ...]:
    """Return precision, recall and F1 of each set of labels that is the truth of some group."""
    labels_of = [forgive(truth.accepted, forgiven) for truth in answers.truths]
    figures = []
    for labels in dict.fromkeys(labels_of):
        here = np.isin(answers.truth, [row for row, other in enumerate(labels_of) if other == labels])
        said = np.isin(predicted, labels)
        figures.append(_class_figures("|".join(LABELS[index] for index in labels), here, said, right))
    return tuple(figures)


def _class_figures(
    name: str, here: NDArray[np.bool_], said: NDArray[np.bool_], right: NDArray[np.bool_]
) -> ClassFigures:
    precision = float(right[said].mean()) if said.any() else None
    recall = float(right[here].mean()) if here.any() else None
    f1 = None
    if precision is not None and recall is not None:
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return ClassFigures(name, int(here.sum()), int(said.sum()), precision, recall, f1)


def _groups(
    answers: Answers, predicted: NDArray[np.int64], right: NDArray[np.bool_], forgiven: Sequence[Sequence[int]]
) -> tuple[GroupFigures, ...]:
    unreadable = answers.unreadable or (0,) * len(answers.truths)
    return tuple(
        GroupFigures(
            name=truth.name,
            accepted=tuple(LABELS[index] for index in forgive(truth.accepted, forgiven)),
            right=Share.of(right[answers.truth == row]),
            predicted=tuple(np.bincount(predicted[answers.truth == row], minlength=len(LABELS)).tolist()),
            unreadable=unreadable[row],
        )
        for row, truth in enumerate(answers.truths)
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value
