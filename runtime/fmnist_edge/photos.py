"""The public photos of clothes that the photo model is made with: where they are, and fetching them."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from fmnist_edge.atomic import write_folder_atomically
from fmnist_edge.dataset import user_cache
from fmnist_edge.download import SILENT, STALL_SECONDS, FetchListener, download
from fmnist_edge.errors import DataError

PHOTOS_VARIABLE: Final = "FMNIST_PHOTOS"
ARCHIVE_VARIABLE: Final = "FMNIST_PHOTOS_ARCHIVE"  # another address of the archive, for a mirror
ARCHIVE: Final = "https://github.com/alexeygrigorev/clothing-dataset-small/archive/refs/heads/master.zip"
LARGEST_ARCHIVE: Final = 400_000_000  # bytes; the photos that are used take 83 million
KINDS: Final = ("dress", "longsleeve", "outwear", "pants", "shirt", "shoes", "t-shirt")
"""The archive's classes that are garments of Fashion-MNIST; `pictures.FOLDERS` has their labels."""
# SHA-256 over the sorted lines "split/class/name sha256-of-the-file" of each split. Not of the archive, which its
# host may pack anew at any time.
SPLIT_SHA256: Final[dict[str, str]] = {
    "train": "00c78ebe87e21cea0242f74b7e0c6809d343d41e53d77ffdf76e92820426bb2d",
    "validation": "5b4a7db39da48f8e323762129fa9a1da68ed75d0a3526a18c5defc753bf68f8f",
}


def find_photos(folder: Path | None = None) -> Path:
    """Return the folder of the photos: the one given, $FMNIST_PHOTOS, or the one in the user's cache.

    Raises DataError if there is none, or if the folder that was named has no photos in it.
    """
    named = folder or (Path(os.environ[PHOTOS_VARIABLE]) if os.environ.get(PHOTOS_VARIABLE) else None)
    found = named or (cached_photos() if user_cache() else None)
    if found is not None and all((found / "train" / kind).is_dir() for kind in KINDS):
        return found
    if named:
        raise DataError(f"no photos in {named}: it should hold train/ and validation/ with a folder for each class")
    raise DataError(f"no photos found: `fmnist-edge data fetch --photos`, or name a folder with ${PHOTOS_VARIABLE}")


def cached_photos() -> Path:
    """Return where `fmnist-edge data fetch --photos` puts the photos. Raises DataError where there is no home."""
    cache = user_cache()
    if cache is None:
        raise DataError("this user has no home folder for the photos: name a folder with -o")
    return cache / "photos"


def photos_at_hand() -> Path | None:
    """Return the folder of the photos, or None if there are none and $FMNIST_PHOTOS names none. Raises DataError."""
    try:
        return find_photos()
    except DataError:
        if os.environ.get(PHOTOS_VARIABLE):
            raise
        return None


def wanted_archive() -> str:
    """Return the address of the photos' archive."""
    return os.environ.get(ARCHIVE_VARIABLE) or ARCHIVE


def fetch_photos(
    folder: Path,
    *,
    archive: str = ARCHIVE,
    expected: Mapping[str, str] = SPLIT_SHA256,
    stall_seconds: float = STALL_SECONDS,
    listener: FetchListener = SILENT,
) -> Path:
    """Fetch the photos into `folder` (train/ and validation/ with a folder for each class) and return it.

    They are checked in memory and written in one step; an earlier folder is replaced then. The archive's third split
    and its other classes are left out. Raises DataError, OutputError.
    """
    listener.step(f"fetching from {archive}")
    try:
        raw = download(archive, "photos", LARGEST_ARCHIVE, stall_seconds, listener)
    except DataError as error:
        raise DataError(f"the photos could not be fetched ({error}); bring them in a folder, see --photos") from error
    files = _wanted_files(raw)
    _check({name: _sha256(content) for name, content in files.items()}, expected)
    listener.step(f"{len(files)} photos, verified")
    write_folder_atomically(folder, files)
    return folder


def is_photo_copy(folder: Path, expected: Mapping[str, str] = SPLIT_SHA256) -> bool:
    """Tell whether a folder holds all of the photos and nothing else, so that replacing it loses nothing."""
    try:
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        _check({name: _sha256(path.read_bytes()) for name, path in files.items()}, expected)
    except (OSError, DataError):
        return False
    return all(name.split("/")[0] in expected for name in files)


def _wanted_files(raw: bytes) -> dict[str, bytes]:
    """Return the photos of an archive, split/class/name to content; names are rebuilt, so none can lead outside."""
    files = {}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for member in archive.infolist():
                parts = PurePosixPath(member.filename).parts
                if len(parts) == 4 and parts[1] in SPLIT_SHA256 and parts[2] in KINDS and parts[3].endswith(".jpg"):
                    files["/".join(parts[1:])] = archive.read(member)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise DataError(f"the photos' archive is damaged: {error}; fetch it again") from error
    return files


def _check(digests: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raise DataError unless the photos (split/class/name to SHA-256) are those expected."""
    for split, wanted in expected.items():
        lines = sorted(f"{name} {digest}\n" for name, digest in digests.items() if name.startswith(f"{split}/"))
        found = _sha256("".join(lines).encode())
        if found != wanted:
            raise DataError(f"not the photos expected: the {len(lines)} of {split} sum to {found}, not {wanted}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
