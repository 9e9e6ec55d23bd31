"""The photos of clothes that the photo model is made and measured with: where they lie, and what each may be called.

clothing-dataset-small (public domain, CC0 1.0), phone photos of single garments in the folders train and validation,
a sub-folder a class. Imports no numpy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias

from fmnist_edge.data.user_cache import user_cache
from fmnist_edge.errors import DataError

PHOTOS_VARIABLE: Final = "FMNIST_PHOTOS"
ARCHIVE_VARIABLE: Final = "FMNIST_PHOTOS_ARCHIVE"  # another address of the archive, for a mirror of one's own
ARCHIVE: Final = "https://github.com/alexeygrigorev/clothing-dataset-small/archive/refs/heads/master.zip"
PhotoSplit: TypeAlias = Literal["train", "validation"]

# Sub-folder to the labels of Fashion-MNIST that count as right. Its shoes may be any of three.
ACCEPTED: Final[dict[str, tuple[int, ...]]] = {
    "t-shirt": (0,),
    "pants": (1,),
    "longsleeve": (2,),
    "dress": (3,),
    "outwear": (4,),
    "shirt": (6,),
    "shoes": (5, 7, 9),
}


def find_photos(folder: Path | None = None) -> Path:
    """Return the folder of the photos: the one given, $FMNIST_PHOTOS, or the one in the user's cache.

    Raises DataError if there is none, or if one that was named lacks the photos.
    """
    named = folder or (Path(os.environ[PHOTOS_VARIABLE]) if os.environ.get(PHOTOS_VARIABLE) else None)
    found = named or (cached_photos() if user_cache() else None)
    if found is not None and all((found / "train" / name).is_dir() for name in ACCEPTED):
        return found
    if named:
        raise DataError(f"no photos in {named}: it should hold train/ and validation/ with a folder for each class")
    raise DataError(f"no photos found: `fmnist-edge data fetch --photos`, or name a folder with ${PHOTOS_VARIABLE}")


def cached_photos() -> Path:
    """Return where `fmnist-edge data fetch --photos` puts the photos. Raises DataError where there is no home."""
    cache = user_cache()
    if cache is None:
        raise DataError("there is no home folder for the photos: name a folder with -o")
    return cache / "photos"


def wanted_archive() -> str:
    """Return the address of the photos' archive."""
    return os.environ.get(ARCHIVE_VARIABLE) or ARCHIVE


def photos_at_hand(folder: Path | None = None) -> Path | None:
    """Return the folder of the photos, or None if there are none and nobody named one. Raises DataError."""
    try:
        return find_photos(folder)
    except DataError:
        if folder or os.environ.get(PHOTOS_VARIABLE):
            raise
        return None


def list_photos(folder: Path, split: PhotoSplit) -> Iterator[tuple[Path, str]]:
    """Yield (path, name of its class) for every photo of a split, sorted by class and name."""
    for name in sorted(ACCEPTED):
        for path in sorted((folder / split / name).glob("*.jpg")):
            yield path, name
