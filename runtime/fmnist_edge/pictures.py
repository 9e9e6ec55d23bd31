"""Collections of labelled pictures: folders or zip files, with a labels.csv or with folders named by class.

A collection's `labels.csv` has the columns `path` (inside the collection) and `labels`: the accepted classes as numbers
or names joined by `|` (`7|9`), or `none` where the picture shows no garment of the ten classes. A column `sender`, if
there is one, tells whose pictures belong together when some are held out; other columns are ignored. Without a
labels.csv the innermost folder's name is the label. Paths that begin with `train/` or `validation/` belong to that
part; a collection without these folders belongs to every part. A .csv file given beside the collections replaces
labels: its paths begin with the collection's name (`phone.zip/train/a.jpg`).

Imports no TensorFlow: `evaluate --pictures` also reads through this module.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from fmnist_edge.errors import DataError
from fmnist_edge.model_info import LABELS, LEAST_SIDE

Part = Literal["train", "validation"]
OnDone = Callable[[int], None]
"""Called now and then with how many more pictures are done."""

LABELS_FILE: Final = "labels.csv"
PICTURES_VARIABLE: Final = "FMNIST_PICTURES"
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
PARTS: Final = ("train", "validation")
BLOCK: Final = 100
"""Pictures whose file names are numbers of the same hundred belong together: neighbours in a catalogue are often the
same garment."""

# Folder names of the public clothing-dataset-small beside the dataset's own names; its shoes may be any of three.
FOLDERS: Final[dict[str, tuple[int, ...]]] = {
    "tshirt": (0,),
    "top": (0,),
    "trousers": (1,),
    "pants": (1,),
    "longsleeve": (2,),
    "sweater": (2,),
    "outwear": (4,),
    "jacket": (4,),
    "sandals": (5,),
    "sneakers": (7,),
    "shoes": (5, 7, 9),
    "boot": (9,),
    "none": (),
    "other": (),
}


@dataclass(frozen=True)
class Picture:
    """One labelled picture of a collection; its pixels are read when they are asked for."""

    collection: Path
    """The folder or zip file."""
    path: str
    """Inside the collection, with slashes."""
    accepted: tuple[int, ...]
    """Classes that count as right, sorted; empty for no garment of the ten."""
    kind: str
    """The innermost folder's name, or the labels where there is none: what kinds are counted and balanced by."""
    group: str
    """Pictures of one group stay on one side of a split: a sender, a block of numbers, or the picture alone."""

    @property
    def name(self) -> str:
        """The collection's name and the path: `phone.zip/train/a.jpg`."""
        return f"{self.collection.name}/{self.path}"


def named_collections(pictures: Sequence[Path] = (), photos: Path | None = None) -> list[Path]:
    """Return the collections that a command reads: those given, else the public photos and what $FMNIST_PICTURES names.

    `photos` is the folder of the public photos, if not that of $FMNIST_PHOTOS or the user's cache. Raises DataError.
    """
    from fmnist_edge.photos import find_photos

    if pictures:
        return [*pictures, *([photos] if photos else [])]
    named = [Path(one) for one in os.environ.get(PICTURES_VARIABLE, "").split(os.pathsep) if one]
    return [find_photos(photos), *named]


def read_collections(paths: Iterable[Path], part: Part) -> list[Picture]:
    """Return the pictures of one part of all collections, sorted by collection and path.

    Each path is a zip file, a folder with labels.csv or with folders named by class, a folder of such collections, or a
    .csv file with other labels for pictures of the collections. Raises DataError where one holds no labelled picture.
    """
    collections, corrections = [], []
    for path in paths:
        found = list(_collections(path))
        if not found:
            raise DataError(f"no pictures in {path}: it should hold {LABELS_FILE}, or a folder for each class")
        collections += [one for one in found if one.suffix != ".csv"]
        corrections += [one for one in found if one.suffix == ".csv"]
    pictures = [picture for one in collections for picture in read_collection(one, part)]
    other = {row["path"]: row["labels"] for file in corrections for row in _rows(file)}
    return [replace(one, accepted=parse_labels(other[one.name])) if one.name in other else one for one in pictures]


def read_collection(path: Path, part: Part) -> list[Picture]:
    """Return one part of a single collection (a folder or a zip file), sorted by path. Raises DataError."""
    names = _names(path)
    if LABELS_FILE in names:
        rows = list(_rows(path))
        missing = next((row["path"] for row in rows if row["path"] not in names), None)
        if missing:
            raise DataError(f"{path}: {LABELS_FILE} names {missing}, which is not there")
    else:
        rows = [{"path": name, "labels": PurePosixPath(name).parent.name} for name in sorted(names)]
        rows = [row for row in rows if PurePosixPath(row["path"]).suffix.lower() in SUFFIXES]
    divided = any(row["path"].startswith(f"{one}/") for row in rows for one in PARTS)
    chosen = [row for row in rows if not divided or row["path"].startswith(f"{part}/")]
    return sorted((_picture(path, row) for row in chosen), key=lambda picture: picture.path)


def parse_labels(text: str) -> tuple[int, ...]:
    """Return the classes that a label text names (`5`, `7|9`, `Ankle boot`, `none`), sorted. Raises ValueError."""
    return tuple(sorted({one for word in text.split("|") for one in _classes(word)}))


def hold_out(pictures: Sequence[Picture], share: int) -> tuple[list[Picture], list[Picture]]:
    """Return (kept, held out): whole groups, about one in `share` of them, chosen by a hash of their name."""
    chosen = [_hash(picture.group) % share == 0 for picture in pictures]
    kept = [picture for picture, out in zip(pictures, chosen, strict=True) if not out]
    return kept, [picture for picture, out in zip(pictures, chosen, strict=True) if out]


def accepted_matrix(pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Return which classes count as right for each picture: 0 or 1, float32 [n, 10]; no garment is a row of 0."""
    matrix = np.zeros((len(pictures), len(LABELS)), np.float32)
    for row, picture in enumerate(pictures):
        matrix[row, list(picture.accepted)] = 1
    return matrix


def read_bytes(pictures: Iterable[Picture]) -> Iterator[bytes]:
    """Yield the file of each picture; a zip file stays open while its pictures follow each other. Raises DataError."""
    try:
        for collection, group in groupby(pictures, lambda picture: picture.collection):
            if collection.is_dir():
                yield from ((collection / picture.path).read_bytes() for picture in group)
                continue
            with zipfile.ZipFile(collection) as archive:
                yield from (archive.read(picture.path) for picture in group)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"a picture cannot be read: {error}") from error


def decode(data: bytes, side: int) -> PIL.Image.Image:
    """Return a picture upright, RGB, quickly reduced as a device would: its long side at least max(128, 2 x side)."""
    wanted = max(LEAST_SIDE, 2 * side)
    file = PIL.Image.open(io.BytesIO(data))
    file.draft("RGB", (wanted, wanted))
    image = PIL.ImageOps.exif_transpose(file)
    factor = max(1, max(image.size) // wanted)
    return _opaque(image).reduce(factor)


def letterboxed(image: PIL.Image.Image, side: int, resample: PIL.Image.Resampling) -> NDArray[np.uint8]:
    """Return the picture scaled into a square and centred, its edges repeated: uint8 [side, side, 3]."""
    scale = side / max(image.size)
    width, height = (min(side, max(1, round(length * scale))) for length in image.size)
    pixels = np.asarray(image.resize((width, height), resample))
    rest = [side - height, side - width]
    padding = [(one // 2, one - one // 2) for one in rest]
    return np.pad(pixels, [*padding, (0, 0)], mode="edge")


def load_squares(
    pictures: Sequence[Picture], side: int, *, vary: bool = False, on_done: OnDone = lambda _count: None
) -> NDArray[np.uint8]:
    """Return all pictures as uint8 [n, side, side, 3], scaled by a bilinear filter.

    With `vary` each takes one of four filters by a hash of its name, so that a network trained on them learns none of
    their traits. `on_done` is told each picture. Raises DataError, naming the picture, where one cannot be decoded.
    """
    squares = np.empty((len(pictures), side, side, 3), np.uint8)
    for row, (picture, data) in enumerate(zip(pictures, read_bytes(pictures), strict=True)):
        resample = FILTERS[_hash(picture.name) % len(FILTERS)] if vary else PIL.Image.Resampling.BILINEAR
        try:
            squares[row] = letterboxed(decode(data, side), side, resample)
        except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
            raise DataError(f"{picture.name} cannot be decoded ({error}): repair it or take it out") from error
        on_done(1)
    return squares


FILTERS: Final = (
    PIL.Image.Resampling.BILINEAR,
    PIL.Image.Resampling.BOX,
    PIL.Image.Resampling.BICUBIC,
    PIL.Image.Resampling.LANCZOS,
)


def _collections(path: Path) -> Iterator[Path]:
    """Yield the collections and label files at a path."""
    if not os.path.exists(path):
        raise DataError(f"no such file or folder: {path}")
    if path.suffix == ".csv" or zipfile.is_zipfile(path):
        yield path
    elif path.is_dir():
        inside = [one for one in sorted(path.iterdir()) if one.suffix in {".zip", ".csv"} and one.name != LABELS_FILE]
        yield from inside
        if (path / LABELS_FILE).is_file() or any(one.is_dir() for one in path.iterdir()):
            yield path


def _names(path: Path) -> set[str]:
    """Return the names of all files in a collection, with slashes."""
    if path.is_dir():
        return {one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file()}
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def _text(path: Path) -> str:
    """Return a .csv file, or the labels.csv of a collection. Raises DataError if it is not UTF-8."""
    if path.suffix == ".csv":
        data = path.read_bytes()
    elif path.is_dir():
        data = (path / LABELS_FILE).read_bytes()
    else:
        with zipfile.ZipFile(path) as archive:
            data = archive.read(LABELS_FILE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f'{_labels_of(path)} is not UTF-8: save it as "CSV UTF-8"') from error


def _labels_of(path: Path) -> Path:
    return path if path.suffix == ".csv" else path / LABELS_FILE


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a .csv file, or of a collection's labels.csv."""
    reader = csv.DictReader(io.StringIO(_text(path)))
    if not {"path", "labels"} <= set(reader.fieldnames or ()):
        raise DataError(
            f"{_labels_of(path)}: its first line must name the columns path and labels, with a comma between"
        )
    yield from reader


def _picture(collection: Path, row: Mapping[str, str]) -> Picture:
    path = PurePosixPath(row["path"])
    try:
        accepted = parse_labels(row["labels"])
    except ValueError as error:
        raise DataError(f"{collection}: {path}: {error}") from error
    kind = path.parent.name if path.parent.name not in {"", *PARTS} else row["labels"]
    return Picture(collection, str(path), accepted, kind, _group(collection.name, path, row.get("sender", "")))


def _group(collection: str, path: PurePosixPath, sender: str) -> str:
    if sender:
        return f"{collection} sender {sender}"
    if path.stem.isdecimal():
        return f"{collection} block {int(path.stem) // BLOCK}"
    return f"{collection}/{path}"


def _classes(word: str) -> tuple[int, ...]:
    """Return the classes of one name: a number, a label of the dataset in any spelling, or a folder's name."""
    classes = _NAMES.get(_plain(word))
    if classes is None:
        raise ValueError(f"'{word}' names no class: use a number from 0 to 9, one of {', '.join(LABELS)}, or none")
    return classes


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


_NAMES: Final[Mapping[str, tuple[int, ...]]] = FOLDERS | {
    name: (index,)
    for index, label in enumerate(LABELS)
    for name in (_plain(label), str(index), f"{index}{_plain(label)}")  # the last as in 0-t-shirt-top.png
}


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def _opaque(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an RGB picture; what was transparent becomes white."""
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PIL.Image.new("RGBA", rgba.size, "white")
        image = PIL.Image.alpha_composite(white, rgba)
    return image.convert("RGB")
