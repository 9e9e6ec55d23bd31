"""A folder of labelled images: a sub-folder for each label, or for each name that a map gives labels to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from fmnist_bench.evaluation.answers import Truth
from fmnist_bench.evaluation.label_names import label_index
from fmnist_edge.bulk.walking import walk
from fmnist_edge.errors import DataError, UsageError


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
