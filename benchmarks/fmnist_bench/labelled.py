"""Labelled images, from the dataset, folders named by label and collections of pictures, and a model's answers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge import pictures
from fmnist_edge.batch import Result, classify_sources, walk
from fmnist_edge.classifier import Classifier
from fmnist_edge.dataset import SplitName, load_split
from fmnist_edge.errors import DataError, UsageError
from fmnist_edge.image_files import ImageSource
from fmnist_edge.model_info import LABELS
from fmnist_edge.pictures import Part, Picture, read_bytes, read_collections

NO_GARMENT: Final = "no garment"
ENLARGED: Final = 10  # times the side of an image of the dataset: clearly a picture, and quick
BATCH: Final = 1000  # images run at once: memory stays small, and larger batches were no faster

Watch = Callable[[Iterable[Result]], Iterable[Result]]
"""Receives the stream of results and passes them on, to show progress and errors."""


def parse_labels(text: str) -> tuple[int, ...]:
    """Return the labels, 0..9, that a text such as `Ankle boot`, `9` or `Sandal|Sneaker` names. Raises UsageError."""
    try:
        return pictures.parse_labels(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def parse_label(text: str) -> int:
    """Return the one label, 0..9, that a text names. Raises UsageError."""
    labels = parse_labels(text)
    if len(labels) != 1:
        raise UsageError(f"'{text}' isn't one label: choose from {', '.join(LABELS)}, or 0..9")
    return labels[0]


def parse_map(text: str) -> dict[str, tuple[int, ...] | None]:
    """Read `name=label[|label...],...` as {name: labels 0..9}; `name=` gives None: leave it out. Raises UsageError."""
    mapping: dict[str, tuple[int, ...] | None] = {}
    for entry in text.split(","):
        name, equals, labels = (part.strip() for part in entry.partition("="))
        if not name or not equals:
            raise UsageError(f"cannot read {entry.strip()!r} in the map: write name=label, or name=label|label")
        if name in mapping:
            raise UsageError(f"the map names {name!r} twice: write name=label|label to accept several labels")
        mapping[name] = parse_labels(labels) if labels else None
    return mapping


def parse_group(text: str) -> tuple[int, ...]:
    """Read `label,label,...` as labels 0..9 to count as one. Raises UsageError for fewer than two."""
    group = parse_labels(text.replace(",", "|"))
    if len(group) < 2:
        raise UsageError(f"forgiving {text!r} has no effect: name two labels or more, separated by commas")
    return group


@dataclass(frozen=True)
class Truth:
    """What some images show: a class of the dataset, a folder, or the accepted labels of pictures."""

    name: str
    accepted: tuple[int, ...]  # the labels, 0..9, that count as right; () if no garment of the ten is shown


TRUTHS_OF_DATASET: Final = tuple(Truth(label, (index,)) for index, label in enumerate(LABELS))


@dataclass(frozen=True, eq=False)
class Example:
    """A picture whose truth is known; its pixels are read when needed."""

    name: str  # the path within its folder or collection
    truth: Truth
    content: str | Picture | NDArray[np.uint8]
    """A path, a picture of a collection, or an image of the dataset, uint8 [28, 28], to be enlarged."""
    source: str = ""  # the collection that it belongs to
    kind: str = ""  # what it shows, finer than the classes (backpack, handbag); "" if that isn't known

    def read(self) -> ImageSource:
        """Return the picture. Raises DataError if its collection can't be read."""
        return next(iter(_contents([self])))


def _contents(examples: Iterable[Example]) -> Iterator[ImageSource]:
    """Yield each picture; a zip file stays open while its pictures follow each other."""
    for kind, some in groupby((example.content for example in examples), key=type):
        if kind is Picture:
            yield from read_bytes(one for one in some if isinstance(one, Picture))
        else:
            yield from (enlarged(one) if isinstance(one, np.ndarray) else str(one) for one in some)


def enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image, uint8 [height, width], with each pixel ENLARGED pixels wide and high."""
    return image.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


def folder_examples(
    folder: Path, mapping: Mapping[str, tuple[int, ...] | None] | None = None, skip: Collection[str] = ()
) -> list[Example]:
    """List the images in the sub-folders of a folder, in `walk`'s order; files beside the sub-folders are left out.

    A sub-folder's labels (0..9, any of which counts as right) come from `mapping`, else from its name. `skip`, and None
    in `mapping`, leave it out. Raises UsageError for a sub-folder without labels and for a name in `mapping` or `skip`
    that isn't a sub-folder; DataError if the folder can't be read or has no images.
    """
    mapping = dict.fromkeys(skip) | dict(mapping or {})
    found = _sub_folders(folder)
    absent = [name for name in mapping if name not in found]
    if absent:
        raise UsageError(f"no sub-folder {absent[0]!r} in {folder}; there are: {', '.join(found) or 'none'}")
    truths = [Truth(name, labels) for name in found if (labels := _labels(folder, name, mapping)) is not None]
    examples = [
        Example(os.path.relpath(file.path, folder), truth, file.path)
        for truth in truths
        for file in walk(str(folder / truth.name))
    ]
    if not examples:
        raise DataError(f"no images to evaluate in {folder}: it should have a sub-folder of images for each label")
    return examples


def _sub_folders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from error


def _labels(folder: Path, name: str, mapping: Mapping[str, tuple[int, ...] | None]) -> tuple[int, ...] | None:
    if name in mapping:
        return mapping[name]
    try:
        return parse_labels(name)
    except UsageError as error:
        ways = f"give it one with --map {name}=LABEL, or leave it out with --skip {name}"
        raise UsageError(f"sub-folder {name!r} of {folder} isn't named by a label: {ways}") from error


def picture_examples(paths: Sequence[Path], part: Part) -> list[Example]:
    """List the pictures in a part of collections. Raises DataError if one can't be read."""
    return [
        Example(
            picture.name,
            Truth("|".join(LABELS[label] for label in picture.accepted) or NO_GARMENT, picture.accepted),
            picture,
            picture.collection.name,
            f"{picture.collection.name}/{picture.kind}",
        )
        for picture in read_collections(paths, part)
    ]


def enlarged_examples(split: SplitName, data: Path | None) -> list[Example]:
    """List the dataset's images as pictures of ten times their size, as they are and inverted. Raises DataError."""
    part = load_split(split, data)
    return [
        Example(f"image {row}", TRUTHS_OF_DATASET[label], image, f"Fashion-MNIST {split}, {ENLARGED}x larger, {form}")
        for form, images in (("bright on black", part.images), ("dark on white", 255 - part.images))
        for row, (image, label) in enumerate(zip(images, part.labels, strict=True))
    ]


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's answers to images whose labels are known."""

    probabilities: NDArray[np.float32]  # float32 [n, 10], each row sums to 1
    truth: NDArray[np.int64]  # int64 [n], the index into `truths`
    truths: tuple[Truth, ...] = TRUTHS_OF_DATASET
    unreadable: tuple[int, ...] = ()
    """For each truth, the images that could not be read, which are left out above; () if there are none."""
    images: NDArray[np.uint8] | None = None  # network input, uint8 [n, 28, 28], if every image was one of that size
    examples: tuple[Example, ...] = ()  # the pictures; () for images of the dataset
    unsure: NDArray[np.bool_] | None = None
    """bool [n], whether the label is `unsure`; None for images of the dataset, which are never unsure."""
    models: tuple[str, ...] = ()  # the file names of the models that answered, the one with the most answers first

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The best class of each image, int64 [n], 0..9; the first if several are equal."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the best class of each image, float64 [n], 0..1."""
        return np.asarray(self.probabilities.max(axis=1), np.float64)

    def name(self, row: int) -> str:
        """Return what to call an image."""
        return self.examples[row].name if self.examples else f"image {row}"

    @property
    def garments(self) -> Answers:
        """The answers to the images that show a garment of the ten classes."""
        shown = np.array([bool(truth.accepted) for truth in self.truths], bool)[self.truth]
        return self if shown.all() else self.where(shown)

    def where(self, kept: NDArray[np.bool_]) -> Answers:
        """Return the answers to some of the images, bool [n]."""
        rows = np.flatnonzero(kept)
        return replace(
            self,
            probabilities=self.probabilities[rows],
            truth=self.truth[rows],
            images=None if self.images is None else self.images[rows],
            examples=tuple(self.examples[row] for row in rows) if self.examples else (),
            unsure=None if self.unsure is None else self.unsure[rows],
        )

    def accepted(self, forgiven: Sequence[Sequence[int]] = ()) -> NDArray[np.bool_]:
        """Return the labels that are right for each image, bool [n, 10]; labels forgiven together count as one."""
        table = np.zeros((len(self.truths), len(LABELS)), bool)
        for row, truth in enumerate(self.truths):
            table[row, list(forgive(truth.accepted, forgiven))] = True
        return table[self.truth]

    def right(self, forgiven: Sequence[Sequence[int]] = ()) -> NDArray[np.bool_]:
        """Return whether each best class is right, bool [n]."""
        return self.accepted(forgiven)[np.arange(len(self.truth)), self.predicted]


def forgive(accepted: Sequence[int], forgiven: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the accepted labels (0..9) and those forgiven together with one of them, sorted."""
    groups = (group for group in forgiven if not set(accepted).isdisjoint(group))
    return tuple(sorted({*accepted, *(label for group in groups for label in group)}))


def answer_split(classifier: Classifier, split: SplitName, data: Path | None = None) -> Answers:
    """Run all images of a split of the dataset. Raises DataError if there is no dataset."""
    images, labels = (part := load_split(split, data)).images, part.labels
    batches = [classifier.predict(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return Answers(np.concatenate(batches), labels.astype(np.int64), images=images)


def answer_examples(classifier: Classifier, examples: Sequence[Example], watch: Watch = iter) -> Answers:
    """Run pictures; those that can't be read are counted and left out. Raises DataError if none can be read."""
    truths = tuple(sorted({one.truth for one in examples}, key=lambda truth: (truth.accepted, truth.name)))
    names = (one.content if isinstance(one.content, str) else one.name for one in examples)
    results = list(watch(classify_sources(classifier, zip(names, _contents(examples), strict=True))))
    unreadable = Counter(one.truth for one, result in zip(examples, results, strict=True) if result.error)
    kept = [(one, result.prediction) for one, result in zip(examples, results, strict=True) if result.prediction]
    if not kept:
        raise DataError(f"none of the {len(examples)} images could be read")
    seen = [prediction.image for _, prediction in kept if prediction.image is not None]
    return Answers(
        probabilities=np.stack([prediction.probabilities for _, prediction in kept]),
        truth=np.array([truths.index(one.truth) for one, _ in kept], np.int64),
        truths=truths,
        unreadable=tuple(unreadable[truth] for truth in truths),
        images=np.stack(seen) if len(seen) == len(kept) else None,
        examples=tuple(one for one, _ in kept),
        unsure=np.array([prediction.unsure for _, prediction in kept], np.bool_),
        models=tuple(name for name, _ in Counter(prediction.model for _, prediction in kept).most_common()),
    )
