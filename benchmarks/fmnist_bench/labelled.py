"""Labelled images: labels as people write them, folders of images by label, and what a model said of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.batch import Result, classify_all, classify_sources, walk
from fmnist_edge.classifier import Classifier, Prediction
from fmnist_edge.dataset import SplitName, load_split
from fmnist_edge.errors import DataError, UsageError
from fmnist_edge.images import ImageSource
from fmnist_edge.model_info import IMAGE_SIDE, LABELS
from fmnist_edge.pictures import Picture, read_bytes


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
    """The labels, 0..9, each of which counts as right; () where no garment of the ten is shown."""


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
    """What each image is called: its path in the folder or collection; () for images of the dataset."""
    unsure: NDArray[np.bool_] | None = None
    """bool [n], which answers are called unsure; None for images of the dataset, where none is."""
    sources: tuple[str, ...] = ()
    """The collection that each image comes from; () where all come from one."""
    kinds: tuple[str, ...] = ()
    """The kind of thing that each image shows, finer than the classes (backpack, handbag); () where none is known."""
    models: tuple[str, ...] = ()
    """The file names of the models that answered, the one that answered most first."""
    read: Callable[[int], ImageSource] | None = None
    """Gives the picture of a row anew, for those that look at it; None for images of the dataset."""

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

    @property
    def garments(self) -> Answers:
        """The answers to the images that show a garment of the ten classes."""
        shown = np.array([bool(truth.accepted) for truth in self.truths], bool)[self.truth]
        return self if shown.all() else self.where(shown)

    def where(self, kept: NDArray[np.bool_]) -> Answers:
        """Return the answers to some of the images, bool [n]."""
        rows = np.flatnonzero(kept)
        read = self.read

        def pick(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[row] for row in rows) if values else ()

        return replace(
            self,
            probabilities=self.probabilities[rows],
            truth=self.truth[rows],
            images=None if self.images is None else self.images[rows],
            unsure=None if self.unsure is None else self.unsure[rows],
            names=pick(self.names),
            sources=pick(self.sources),
            kinds=pick(self.kinds),
            read=None if read is None else lambda row: read(int(rows[row])),
        )

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


NO_GARMENT: Final = "no garment"
ENLARGED: Final = 10  # times the side of an image of the dataset: clearly a picture, and quick
BATCH: Final = 1000  # images run at once: memory stays small, and larger ones were no faster

Watch = Callable[[Iterable[Result]], Iterable[Result]]


def answer_split(classifier: Classifier, split: SplitName, data: Path | None = None) -> Answers:
    """Run all images of a split of the dataset. Raises DataError if it is not there."""
    images, labels = (part := load_split(split, data)).images, part.labels
    batches = [classifier.predict(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return Answers(np.concatenate(batches), labels.astype(np.int64), images=images)


def answer_folder(classifier: Classifier, folder: Path, labelled: LabelledImages, watch: Watch = iter) -> Answers:
    """Run labelled image files of a folder; those that cannot be read are counted and left out.

    `watch` is handed the stream of results and passes them on (to show progress, or errors).
    Raises DataError if none of the images can be read.
    """
    results = watch(classify_all(classifier, labelled.paths))
    rows = _Rows(labelled.truths)
    for result, truth in zip(results, labelled.truth, strict=True):
        rows.add(result, truth, os.path.relpath(result.path, folder))
    paths = rows.paths
    return replace(rows.answers(), read=lambda row: paths[row])


def answer_pictures(classifier: Classifier, pictures: Sequence[Picture], watch: Watch = iter) -> Answers:
    """Run the pictures of collections; those that cannot be read are counted and left out.

    Raises DataError if a collection cannot be read, or none of its pictures.
    """
    accepted = sorted({picture.accepted for picture in pictures})
    truths = tuple(Truth("|".join(LABELS[one] for one in labels) or NO_GARMENT, labels) for labels in accepted)
    named = ((picture.name, data) for picture, data in zip(pictures, read_bytes(pictures), strict=True))
    rows, kept = _Rows(truths), []
    for picture, result in zip(pictures, watch(classify_sources(classifier, named)), strict=True):
        if rows.add(result, accepted.index(picture.accepted), picture.name):
            kept.append(picture)
    return replace(
        rows.answers(),
        sources=tuple(picture.collection.name for picture in kept),
        kinds=tuple(f"{picture.collection.name}/{picture.kind}" for picture in kept),
        read=lambda row: next(read_bytes(kept[row : row + 1])),
    )


def answer_enlarged(classifier: Classifier, split: SplitName, data: Path | None, watch: Watch = iter) -> Answers:
    """Run the dataset's images as pictures of ten times their size, as they are and inverted, by the photo model."""
    part = load_split(split, data)
    forms = {"bright on black": part.images, "dark on white": 255 - part.images}
    sources = [f"Fashion-MNIST {split}, {ENLARGED}x larger, {name}" for name in forms for _ in part.images]
    images = np.concatenate(list(forms.values()))
    large = ((f"image {row}", enlarged(image)) for row, image in enumerate(images))
    rows = _Rows(TRUTHS_OF_DATASET)
    for result, truth in zip(watch(classify_sources(classifier, large)), np.tile(part.labels, 2), strict=True):
        rows.add(result, int(truth), result.path)
    return replace(rows.answers(), sources=tuple(sources), read=lambda row: enlarged(images[row]))


def enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image, uint8 [height, width], with each pixel ENLARGED pixels wide and high."""
    return image.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


def joined(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several collections as one; their truths of the same labels become one."""
    truths = tuple({truth.accepted: truth for part in parts for truth in part.truths}.values())
    place = {truth.accepted: row for row, truth in enumerate(truths)}
    unreadable = [0] * len(truths)
    for part in parts:
        for truth, count in zip(part.truths, part.unreadable, strict=False):
            unreadable[place[truth.accepted]] += count
    starts = np.cumsum([0, *(len(part.truth) for part in parts)])

    def read(row: int) -> ImageSource:
        at = int(np.searchsorted(starts, row, side="right")) - 1
        reader = parts[at].read
        assert reader is not None
        return reader(row - int(starts[at]))

    return Answers(
        probabilities=np.concatenate([part.probabilities for part in parts]),
        truth=np.concatenate([[place[part.truths[row].accepted] for row in part.truth] for part in parts]).astype(int),
        truths=truths,
        unreadable=tuple(unreadable),
        names=sum((part.names for part in parts), ()),
        unsure=np.concatenate([_unsure(part) for part in parts]),
        sources=sum((part.sources for part in parts), ()),
        kinds=sum((part.kinds or ("",) * len(part.truth) for part in parts), ()),
        models=tuple(dict.fromkeys(model for part in parts for model in part.models)),
        read=read,
    )


def _unsure(answers: Answers) -> NDArray[np.bool_]:
    return np.zeros(len(answers.truth), bool) if answers.unsure is None else answers.unsure


class _Rows:
    """Answers as they come in, one image after the other."""

    def __init__(self, truths: tuple[Truth, ...]) -> None:
        self.truths = truths
        self.paths: list[str] = []
        self._kept: list[tuple[str, int, Prediction]] = []
        self._unreadable = [0] * len(truths)

    def add(self, result: Result, truth: int, name: str) -> bool:
        """Take a result; tell whether there was an answer."""
        if result.prediction is None:
            self._unreadable[truth] += 1
            return False
        self._kept.append((name, truth, result.prediction))
        self.paths.append(result.path)
        return True

    def answers(self) -> Answers:
        """Return all of them. Raises DataError if there is none."""
        if not self._kept:
            raise DataError(f"none of the {sum(self._unreadable)} images could be read")
        predictions = [prediction for _, _, prediction in self._kept]
        seen = [prediction.image for prediction in predictions if prediction.image is not None]
        return Answers(
            probabilities=np.stack([prediction.probabilities for prediction in predictions]).reshape(-1, len(LABELS)),
            truth=np.array([truth for _, truth, _ in self._kept], np.int64),
            truths=self.truths,
            unreadable=tuple(self._unreadable),
            images=np.stack(seen).reshape(-1, IMAGE_SIDE, IMAGE_SIDE) if len(seen) == len(predictions) else None,
            names=tuple(name for name, _, _ in self._kept),
            unsure=np.array([prediction.unsure for prediction in predictions], np.bool_),
            models=tuple(name for name, _ in Counter(one.model for one in predictions).most_common()),
        )
