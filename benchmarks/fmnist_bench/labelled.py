"""Labelled images: labels as people write them, folders of images by label, and what a model said of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.batch import Result, classify_all, walk
from fmnist_edge.classifier import Classifier, Prediction
from fmnist_edge.contract import IMAGE_SIDE, LABELS
from fmnist_edge.dataset import SplitName, load_split
from fmnist_edge.errors import DataError, UsageError


def _bare(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


_INDEX: Final = {
    form: index
    for index, label in enumerate(LABELS)
    for form in (_bare(label), str(index), f"{index}{_bare(label)}")  # the last as in samples/0-t-shirt-top.png
}


def label_index(name: str) -> int | None:
    """Return the index of a label, 0..9, or None if it is none.

    Case, blanks and punctuation do not matter; the index itself is accepted, and `0-t-shirt-top` too.
    """
    return _INDEX.get(_bare(name))


def parse_label(name: str) -> int:
    """Return the index of a label, 0..9. Raises UsageError if it is none."""
    index = label_index(name)
    if index is None:
        raise UsageError(f"{name.strip()!r} is no label: choose from {', '.join(LABELS)}, or 0..9")
    return index


def parse_map(text: str) -> dict[str, tuple[int, ...]]:
    """Read `name=label[|label...],...` as {name: labels 0..9}; `name=` alone maps to no label: leave it out.

    Raises UsageError.
    """
    mapping: dict[str, tuple[int, ...]] = {}
    for entry in text.split(","):
        name, equals, labels = (part.strip() for part in entry.partition("="))
        if not name or not equals:
            raise UsageError(f"cannot read {entry.strip()!r} in the map: write name=label, or name=label|label")
        if name in mapping:
            raise UsageError(f"the map names {name!r} twice: write name=label|label to accept several labels")
        mapping[name] = _distinct([parse_label(label) for label in labels.split("|")] if labels else [])
    return mapping


def parse_group(text: str) -> tuple[int, ...]:
    """Read `label,label,...` as labels 0..9 that are taken as one. Raises UsageError for fewer than two."""
    group = _distinct([parse_label(label) for label in text.split(",")])
    if len(group) < 2:
        raise UsageError(f"forgiving {text!r} has no effect: name two labels or more, separated by commas")
    return group


def _distinct(labels: Sequence[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(labels))


@dataclass(frozen=True)
class Truth:
    """What a group of images shows: a class of the dataset, or a folder of labelled images."""

    name: str
    accepted: tuple[int, ...]
    """The labels, 0..9, each of which counts as right."""


TRUTHS_OF_DATASET: Final = tuple(Truth(label, (index,)) for index, label in enumerate(LABELS))


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model said of images whose labels are known."""

    probabilities: NDArray[np.float32]
    """float32 [n, 10], each row sums to 1."""
    truth: NDArray[np.int64]
    """int64 [n], the index into `truths`."""
    truths: tuple[Truth, ...] = TRUTHS_OF_DATASET
    unreadable: tuple[int, ...] = ()
    """Images of each truth that could not be read, and are left out above; () is none."""
    images: NDArray[np.uint8] | None = None
    """What the network saw, uint8 [n, 28, 28], where it was kept."""
    names: tuple[str, ...] = ()
    """The path of each image, or () for images of the dataset, whose name is their index."""
    by_photo_model: int = 0
    """How many of the images the photo model answered; the classifier answered the others."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The best class of each image, int64 [n], 0..9; of equal ones the first."""
        best: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return best

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the best class of each image, float64 [n], 0..1."""
        best: NDArray[np.float64] = self.probabilities.max(axis=1).astype(np.float64)
        return best

    def accepted(self, forgiven: Sequence[Sequence[int]] = ()) -> NDArray[np.bool_]:
        """Return which labels are right for each image, bool [n, 10]; labels forgiven together are taken as one."""
        table = np.zeros((len(self.truths), len(LABELS)), bool)
        for row, truth in enumerate(self.truths):
            table[row, list(forgive(truth.accepted, forgiven))] = True
        return table[self.truth]

    def right(self, forgiven: Sequence[Sequence[int]] = ()) -> NDArray[np.bool_]:
        """Return which best classes are right, bool [n]."""
        return self.accepted(forgiven)[np.arange(len(self.truth)), self.predicted]


def forgive(accepted: Sequence[int], forgiven: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the accepted labels (0..9) with all that are forgiven together with one of them, in order."""
    taken = set(accepted)
    for group in forgiven:
        if not taken.isdisjoint(group):
            taken.update(group)
    return tuple(sorted(taken))


@dataclass(frozen=True)
class LabelledImages:
    """Image files with what they show."""

    truths: tuple[Truth, ...]
    """One for each sub-folder, sorted by name."""
    paths: tuple[str, ...]
    truth: tuple[int, ...]
    """The index into `truths` of each path."""


def find_labelled_images(
    folder: Path, mapping: Mapping[str, tuple[int, ...]] | None = None, skip: Collection[str] = ()
) -> LabelledImages:
    """List the images under the sub-folders of a folder, in the order of `walking.walk`; loose files are left out.

    `mapping` gives sub-folders their labels (0..9, any of which counts as right); an empty tuple and `skip` leave a
    sub-folder out. One that is in neither must be named as a label is. Raises UsageError if one is not, or if a name
    in `mapping` or `skip` is no sub-folder; DataError if the folder cannot be read or holds no image.
    """
    mapping = mapping or {}
    found = _sub_folders(folder)
    absent = [name for name in (*mapping, *skip) if name not in found]
    if absent:
        raise UsageError(f"no sub-folder {absent[0]!r} in {folder}; there are: {', '.join(found) or 'none'}")
    truths = [truth for name in found if name not in skip and (truth := _truth(folder, name, mapping)).accepted]
    files = [(file.path, row) for row, truth in enumerate(truths) for file in walk(str(folder / truth.name))]
    if not files:
        raise DataError(f"no images to evaluate in {folder}: it should hold a sub-folder of images for each label")
    return LabelledImages(tuple(truths), tuple(path for path, _ in files), tuple(row for _, row in files))


def _sub_folders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from error


def _truth(folder: Path, name: str, mapping: Mapping[str, tuple[int, ...]]) -> Truth:
    if name in mapping:
        return Truth(name, mapping[name])
    index = label_index(name)
    if index is None:
        raise UsageError(
            f"sub-folder {name!r} of {folder} is no label: give it one with --map {name}=LABEL, "
            f"or leave it out with --skip {name}"
        )
    return Truth(name, (index,))


BATCH: Final = 1000  # images run at once: memory stays small, and larger ones were no faster

Watch = Callable[[Iterable[Result]], Iterable[Result]]


def answer_split(classifier: Classifier, split: SplitName, data: Path | None = None) -> Answers:
    """Run all images of a split of the dataset. Raises DataError if it is not there."""
    images, labels = (part := load_split(split, data)).images, part.labels
    batches = [classifier.predict(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return Answers(np.concatenate(batches), labels.astype(np.int64), images=images)


def answer_folder(classifier: Classifier, labelled: LabelledImages, watch: Watch = iter) -> Answers:
    """Run labelled image files; those that cannot be read are counted and left out.

    `watch` is handed the stream of results and passes them on (to show progress, or errors).
    Raises DataError if none of the images can be read.
    """
    kept: list[tuple[str, int, Prediction]] = []
    unreadable = [0] * len(labelled.truths)
    for result, truth in zip(watch(classify_all(classifier, labelled.paths)), labelled.truth, strict=True):
        if result.prediction is None:
            unreadable[truth] += 1
        else:
            kept.append((result.path, truth, result.prediction))
    if not kept:
        raise DataError(f"none of the {len(labelled.paths)} images could be read")
    seen = [prediction.image for _, _, prediction in kept if prediction.image is not None]
    return Answers(
        probabilities=np.stack([prediction.probabilities for _, _, prediction in kept]).reshape(-1, len(LABELS)),
        truth=np.array([truth for _, truth, _ in kept], np.int64),
        truths=labelled.truths,
        unreadable=tuple(unreadable),
        images=np.stack(seen).reshape(-1, IMAGE_SIDE, IMAGE_SIDE) if len(seen) == len(kept) else None,
        names=tuple(path for path, _, _ in kept),
        by_photo_model=sum(prediction.image is None for _, _, prediction in kept),
    )
