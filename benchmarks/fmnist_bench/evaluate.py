"""How good a model's answers are: accuracy, errors by class, calibration, and accuracy without the unsure answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_bench.labelled import Answers, forgive
from fmnist_edge.errors import DataError
from fmnist_edge.model_info import LABELS

Z_95: Final = 1.959963984540054  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True)
class Share:
    """How many of some images have a property, with the interval of the true share."""

    count: int
    total: int
    share: float | None  # count / total, 0..1; None for no images
    low: float  # lower end of the 95 % interval, 0..1
    high: float  # upper end of the 95 % interval, 0..1

    @classmethod
    def of(cls, flags: NDArray[np.bool_]) -> Share:
        """Count the True among flags, bool [n]."""
        count, total = int(flags.sum()), len(flags)
        return cls(count, total, count / total if total else None, *wilson_interval(count, total))


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a binomial share, both ends 0..1; (0, 1) for no images.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22; it keeps its
    coverage near 0 and 1 and for few images, where the textbook's +-1.96 s does not (Brown, Cai, DasGupta 2001).
    """
    if not total:
        return 0.0, 1.0
    share, z2 = count / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    # For 0 and `total` the formula gives exactly 0 and 1, except for rounding.
    return (0.0 if count == 0 else centre - half), (1.0 if count == total else centre + half)


BINS: Final = 15  # equal-width bins of confidence, as in Guo et al. 2017
COVERAGES: Final = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies in low..high."""

    low: float
    high: float
    images: int
    confidence: float | None  # mean confidence, 0..1; None for no images
    accuracy: float | None  # 0..1; None for no images


@dataclass(frozen=True)
class Coverage:
    """The images that are left when answers below a threshold are called unsure."""

    coverage: float  # share of images at or above the threshold, 0..1
    min_confidence: float  # the threshold, as for `classify --min-confidence`, 0..1
    right: Share  # of the images that are left


def calibration_bins(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Sort images into BINS bins by confidence, float64 [n] in 0..1; `right` is bool [n]."""
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    images = np.bincount(index, minlength=BINS)
    sums = (np.bincount(index, weights=values, minlength=BINS) for values in (confidence, right))
    means = [[float(s / n) if n else None for s, n in zip(column, images, strict=True)] for column in sums]
    return tuple(
        Bin(row / BINS, (row + 1) / BINS, int(images[row]), means[0][row], means[1][row]) for row in range(BINS)
    )


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean distance of confidence and accuracy over the images (Guo et al. 2017, eq. 3), 0..1."""
    distances = (row.images * abs((row.confidence or 0) - (row.accuracy or 0)) for row in bins if row.images)
    return sum(distances) / sum(row.images for row in bins)


def coverages(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Coverage, ...]:
    """Return, for each of COVERAGES, the accuracy of the images with the highest confidence (risk-coverage curve).

    The threshold is the lowest confidence among the wanted number of images. Images of equal confidence are kept, as
    with `--min-confidence`, so the coverage may be higher. (Geifman and El-Yaniv 2017, "Selective classification for
    deep neural networks".)
    """
    falling = np.sort(confidence)[::-1]
    rows = []
    for wanted in COVERAGES:
        threshold = falling[max(1, round(wanted * len(falling))) - 1]
        kept = confidence >= threshold
        rows.append(Coverage(float(kept.mean()), float(threshold), Share.of(right[kept])))
    return tuple(rows)


DIGITS: Final = 6  # decimals in a record


@dataclass(frozen=True)
class ClassFigures:
    """The figures of a class: a label, or several that count as one."""

    name: str
    images: int  # images of this class
    predicted: int  # images of all classes whose best label is of this class
    precision: float | None  # share of `predicted` that is correct; None if `predicted` is 0
    recall: float | None  # share of `images` that is correct; None if there are none
    f1: float | None  # harmonic mean of both; None if one is


@dataclass(frozen=True)
class GroupFigures:
    """The figures of one truth: a class of the dataset or a folder."""

    name: str
    accepted: tuple[str, ...]  # names of the labels that count as correct, including forgiven ones
    right: Share
    predicted: tuple[int, ...]  # how many images got each of the ten labels: a row of the confusion matrix
    unreadable: int = 0


@dataclass(frozen=True)
class SourceFigures:
    """The figures of one collection of pictures, including `unsure`."""

    name: str
    right: Share  # of the pictures of garments: the best class is correct, even if unsure
    kinds: int  # kinds of garments in it; 0 if unknown
    mean_of_kinds: float | None
    """`right` as the mean over the kinds, which count the same; None if they are unknown."""
    answered: Share  # of the pictures of garments: the answer is not `unsure`
    right_of_answered: Share
    no_garment_unsure: Share  # of the pictures without a garment: the answer is `unsure`


@dataclass(frozen=True)
class Evaluation:
    """All figures of a model on some images. Shares are 0..1."""

    accuracy: Share  # the best class is correct, even if unsure
    top_2: Share  # one of the two best classes is correct
    expected_calibration_error: float
    classes: tuple[ClassFigures, ...]
    groups: tuple[GroupFigures, ...]
    bins: tuple[Bin, ...]
    coverages: tuple[Coverage, ...]
    forgiven: tuple[tuple[str, ...], ...] = ()  # labels that count as one
    unreadable: int = 0
    sources: tuple[SourceFigures, ...] = ()
    """For each collection, then for all of them; () for images of the dataset."""
    labels: tuple[str, ...] = field(default=LABELS)

    @property
    def by_folder(self) -> bool:
        """Tell whether the groups say more than the classes do."""
        return [group.name for group in self.groups] != [one.name for one in self.classes]

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
    """Return the figures of answers; labels (0..9) forgiven together count as one.

    Confidence is the probability of the single best label. Pictures without a garment count only in the figures of
    their collection. Raises DataError if no image shows a garment.
    """
    sources = _sources(answers, forgiven)
    answers = answers.garments
    if not len(answers.truth):
        raise DataError("none of the images shows a garment of the ten classes: there is no accuracy to measure")
    right, confidence = answers.right(forgiven), answers.confidence
    second = np.argsort(-answers.probabilities, axis=1, kind="stable")[:, 1]
    second_right = answers.accepted(forgiven)[np.arange(len(second)), second]
    bins = calibration_bins(confidence, right)
    return Evaluation(
        accuracy=Share.of(right),
        top_2=Share.of(right | second_right),
        expected_calibration_error=expected_calibration_error(bins),
        classes=_classes(answers, forgiven),
        groups=_groups(answers, forgiven),
        bins=bins,
        coverages=coverages(confidence, right),
        forgiven=tuple(tuple(LABELS[index] for index in group) for group in forgiven),
        unreadable=sum(answers.unreadable),
        sources=sources,
    )


def _sources(answers: Answers, forgiven: Sequence[Sequence[int]]) -> tuple[SourceFigures, ...]:
    """Return the figures of each collection, and of all together if there are several."""
    if answers.unsure is None:
        return ()
    of = np.array([one.source for one in answers.examples], object)
    named = [_source(name, answers.where(of == name), forgiven) for name in dict.fromkeys(of) if name]
    return (*named, _source("all", answers, forgiven)) if len(named) != 1 else tuple(named)


def _source(name: str, answers: Answers, forgiven: Sequence[Sequence[int]]) -> SourceFigures:
    assert answers.unsure is not None
    garment: NDArray[np.bool_] = np.any(answers.accepted(), axis=1, keepdims=False)
    right, answered = answers.right(forgiven) & garment, ~answers.unsure & garment
    kinds = np.array([one.kind for one in answers.examples], object)
    named = sorted(set(kinds[garment]) - {""})
    return SourceFigures(
        name=name,
        right=Share.of(right[garment]),
        kinds=len(named),
        mean_of_kinds=float(np.mean([right[garment & (kinds == kind)].mean() for kind in named])) if named else None,
        answered=Share.of(answered[garment]),
        right_of_answered=Share.of(right[answered]),
        no_garment_unsure=Share.of(answers.unsure[~garment]),
    )


def _classes(answers: Answers, forgiven: Sequence[Sequence[int]]) -> tuple[ClassFigures, ...]:
    """Return precision, recall and F1 of each set of labels that is the truth of some group."""
    predicted, right, figures = answers.predicted, answers.right(forgiven), []
    labels_of = [forgive(truth.accepted, forgiven) for truth in answers.truths]
    for labels in filter(None, dict.fromkeys(labels_of)):
        here = np.isin(answers.truth, [row for row, other in enumerate(labels_of) if other == labels])
        said = np.isin(predicted, labels)
        precision, recall = (float(right[rows].mean()) if rows.any() else None for rows in (said, here))
        f1 = None
        if precision is not None and recall is not None:
            f1 = 2 * precision * recall / ((precision + recall) or 1)
        name = "|".join(LABELS[index] for index in labels)
        figures.append(ClassFigures(name, int(here.sum()), int(said.sum()), precision, recall, f1))
    return tuple(figures)


def _groups(answers: Answers, forgiven: Sequence[Sequence[int]]) -> tuple[GroupFigures, ...]:
    predicted, right, figures = answers.predicted, answers.right(forgiven), []
    for row, truth in enumerate(answers.truths):
        if truth.accepted:
            here = answers.truth == row
            accepted = tuple(LABELS[index] for index in forgive(truth.accepted, forgiven))
            counts = tuple(np.bincount(predicted[here], minlength=len(LABELS)).tolist())
            unreadable = answers.unreadable[row] if answers.unreadable else 0
            figures.append(GroupFigures(truth.name, accepted, Share.of(right[here]), counts, unreadable))
    return tuple(figures)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value
