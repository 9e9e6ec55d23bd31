"""Fetching the photos of clothes: one archive from their authors' repository, checked file by file."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from fmnist_edge.data.fetch_listener import FetchListener
from fmnist_edge.data.mirrors import download
from fmnist_edge.data.photos import ACCEPTED, ARCHIVE
from fmnist_edge.errors import DataError, OutputError

LARGEST_ARCHIVE: Final = 400_000_000  # bytes; the photos that are used take 83 million
# SHA-256 over the lines "split/class/name sha256-of-the-file", sorted, of each split. Not of the archive, which its
# host may pack anew at any time.
SPLIT_SHA256: Final[dict[str, str]] = {
    "train": "00c78ebe87e21cea0242f74b7e0c6809d343d41e53d77ffdf76e92820426bb2d",
    "validation": "5b4a7db39da48f8e323762129fa9a1da68ed75d0a3526a18c5defc753bf68f8f",
}
_SILENT: Final = FetchListener()


def fetch_photos(
    folder: Path,
    *,
    archive: str = ARCHIVE,
    expected: Mapping[str, str] = SPLIT_SHA256,
    stall_seconds: float = 30.0,
    listener: FetchListener = _SILENT,
) -> Path:
    """Fetch the photos into `folder` (train/ and validation/ with a folder for each class) and return it.

    They are unpacked beside it, checked, and moved into place in one step; an earlier folder is replaced then.
    The archive's third split and its other classes are left in it. Raises DataError, OutputError.
    """
    listener.step(f"fetching from {archive}")
    try:
        raw = download(archive, "photos", LARGEST_ARCHIVE, stall_seconds, listener)
    except DataError as error:
        raise DataError(f"the photos could not be fetched ({error}); bring them in a folder, see --photos") from error
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            unpacked = Path(scratch) / "photos"
            sums = _unpack(raw, unpacked)
            _check(sums, expected)
            listener.step(f"{sum(len(lines) for lines in sums.values())} photos, verified")
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            unpacked.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another place with -o") from error
    return folder


def is_photo_copy(folder: Path, expected: Mapping[str, str] = SPLIT_SHA256) -> bool:
    """Tell whether a folder holds the photos, all of them, and nothing else, so that replacing it loses nothing."""
    sums: dict[str, list[str]] = {split: [] for split in expected}
    try:
        for path in sorted(folder.rglob("*")):
            place = path.relative_to(folder).as_posix()
            if path.is_file():
                sums[place.split("/")[0]].append(f"{place} {hashlib.sha256(path.read_bytes()).hexdigest()}\n")
        _check(sums, expected)
    except (OSError, KeyError, DataError):
        return False
    return True


def _unpack(raw: bytes, target: Path) -> dict[str, list[str]]:
    """Write the wanted photos of an archive below `target`; return the lines to be summed, by split."""
    sums: dict[str, list[str]] = {"train": [], "validation": []}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for member, split, place in _wanted(archive):
                path = target / place
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, path.open("wb") as file:
                    shutil.copyfileobj(source, file)
                sums[split].append(f"{place} {hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise DataError(f"the photos' archive is damaged: {error}; fetch it again") from error
    return sums


def _wanted(archive: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, str, str]]:
    """Yield (member, split, its place in our folder) for photos; the names are rebuilt, so none can lead outside."""
    for member in archive.infolist():
        parts = PurePosixPath(member.filename).parts
        if len(parts) == 4 and parts[1] in SPLIT_SHA256 and parts[2] in ACCEPTED and parts[3].endswith(".jpg"):
            yield member, parts[1], "/".join(parts[1:])


def _check(sums: Mapping[str, list[str]], expected: Mapping[str, str]) -> None:
    for split, wanted in expected.items():
        found = hashlib.sha256("".join(sorted(sums[split])).encode()).hexdigest()
        if found != wanted:
            count = len(sums[split])
            raise DataError(f"not the photos that are expected: the {count} of {split} sum to {found}, not {wanted}")
