"""The Fashion-MNIST dataset (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747): where it is, its files, its splits.

Numpy is imported only where arrays are made, so that `fmnist-edge data` starts at once.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from fmnist_edge.errors import DataError
from fmnist_edge.model_info import IMAGE_SIDE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SplitName = Literal["train", "validation", "test", "full-train"]

# The last 5,000 training images are validation: the test images are for reporting alone.
_ROWS: Final[dict[SplitName, tuple[str, slice]]] = {
    "train": ("train", slice(0, 55_000)),
    "validation": ("train", slice(55_000, 60_000)),
    "test": ("t10k", slice(0, 10_000)),
    "full-train": ("train", slice(0, 60_000)),
}


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels, in the order of the files. The arrays are read-only."""

    images: NDArray[np.uint8]
    """uint8 [n, 28, 28], 0 is the black background, 255 the brightest garment."""
    labels: NDArray[np.uint8]
    """uint8 [n], 0..9, the index into `LABELS`."""


def load_split(name: SplitName, folder: Path | None = None) -> Split:
    """Find the dataset (in `folder`, or as `find_dataset` does), verify it and read one split.

    Raises DataError if it is not there or damaged; ValueError for an unknown split.
    """
    if name not in _ROWS:
        raise ValueError(f"no split named {name!r}: choose one of {', '.join(_ROWS)}")
    place = find_dataset(folder)
    prefix, rows = _ROWS[name]
    images = _values(place, f"{prefix}-images-idx3-ubyte", dimensions=3)
    labels = _values(place, f"{prefix}-labels-idx1-ubyte", dimensions=1)
    return Split(images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE)[rows], labels[rows])


def _values(folder: Path, stem: str, dimensions: int) -> NDArray[np.uint8]:
    """Return the bytes behind the header of an IDX file: 4 bytes for the type, and 4 for each dimension.

    (yann.lecun.com/exdb/mnist, "The IDX file format"; what the header says is known, since the file is verified)
    """
    import numpy as np

    try:
        return np.frombuffer(read_verified(folder, stem), np.uint8, offset=4 + 4 * dimensions)
    except FileNotFoundError as error:
        raise DataError(f"{folder / stem} has just vanished: run `fmnist-edge data fetch`") from error


DATA_VARIABLE: Final = "FMNIST_DATA"
DEBIAN_FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist


@dataclass(frozen=True)
class Look:
    """A folder that may hold the dataset, and what was found there."""

    name: str
    folder: Path | None
    """None where nothing is set: the place does not exist on this machine."""
    explicit: bool = False
    """Somebody named this folder: when it is bad, that is an error, and no other is looked at."""
    check: FolderCheck | None = None
    """None if it was not looked at."""

    @property
    def complete(self) -> bool:
        """Tell whether the dataset is there, all of it and verified."""
        return self.state == "complete"

    @property
    def state(self) -> str:
        """One of `not-set`, `not-looked-at` and the states of FolderCheck."""
        if self.folder is None:
            return "not-set"
        return self.check.state if self.check else "not-looked-at"


def look(folder: Path | None = None) -> Iterator[Look]:
    """Yield all places in the order of looking; `folder` is the one given by --data, if any.

    After a complete or explicitly named one, no more are looked at.
    """
    decided = False
    for place in (
        Look("--data", folder, explicit=True),
        Look(f"${DATA_VARIABLE}", _data_variable(), explicit=True),
        Look("user's cache", cache_folder()),
        Look("Keras's cache", _keras_folder()),
        Look("Debian's package", DEBIAN_FOLDER),
    ):
        found = place if decided or place.folder is None else replace(place, check=check_folder(place.folder))
        decided = decided or found.complete or (found.check is not None and found.explicit)
        yield found


def find_dataset(folder: Path | None = None) -> Path:
    """Return the folder whose four files all verify: `folder` if given, else the first that `look` finds.

    Raises DataError if `folder` or $FMNIST_DATA is given and bad, or if no place has the dataset.
    """
    faults = []
    for place in look(folder):
        if place.complete:
            assert place.folder is not None
            return place.folder
        if place.check and place.explicit:
            raise _bad_explicit(place, place.check)
        if place.check and place.state != "missing":
            faults.append(f" ({place.folder}: {place.check.detail})")
    raise DataError(
        f"the Fashion-MNIST dataset is not on this machine{''.join(faults)}: get it with `fmnist-edge data fetch`"
    )


def _bad_explicit(place: Look, check: FolderCheck) -> DataError:
    origin = f" (from {place.name})" if place.name.startswith("$") else ""
    return DataError(
        f"{place.folder}{origin} is not a good copy of the dataset: {check.detail}; "
        f"get one with `fmnist-edge data fetch{' --overwrite' if check.damaged else ''} -o {place.folder}`"
    )


def fetch_folder() -> Path:
    """Return where a fetch puts the files unless told otherwise: $FMNIST_DATA, or the user's cache.

    Raises DataError if there is neither.
    """
    folder = _data_variable() or cache_folder()
    if folder is None:
        raise DataError(f"this user has no home folder: choose a place with -o DIR or ${DATA_VARIABLE}")
    return folder


def cache_folder() -> Path | None:
    """Return the dataset's folder in the user's cache, or None if the user has no home."""
    cache = user_cache()
    return cache / "fashion-mnist" if cache else None


def _data_variable() -> Path | None:
    value = os.environ.get(DATA_VARIABLE)
    return Path(value) if value else None


def _keras_folder() -> Path | None:
    """Return where `keras.datasets.fashion_mnist.load_data()` keeps the same files."""
    given, own = os.environ.get("KERAS_HOME"), _home()
    keras = Path(given) if given else own / ".keras" if own else None
    return keras / "datasets" / "fashion-mnist" if keras else None


def _home() -> Path | None:
    """Return the user's home folder, or None where there is none (a container's nameless user)."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def user_cache(platform: str = sys.platform) -> Path | None:
    """Return this package's cache folder, which may not exist yet; None if the user has no home.

    Linux and others: $XDG_CACHE_HOME (if absolute, as the XDG Base Directory Specification asks) or ~/.cache.
    macOS: ~/Library/Caches. Windows: %LOCALAPPDATA%.
    """
    given, below_home = os.environ.get("XDG_CACHE_HOME", ""), ".cache"
    if platform == "win32":
        given, below_home = os.environ.get("LOCALAPPDATA", ""), "AppData/Local"
    elif platform == "darwin":
        given, below_home = "", "Library/Caches"
    elif not Path(given).is_absolute():
        given = ""
    own = _home()
    base = Path(given) if given else own / below_home if own else None
    return base / "fmnist-edge" if base else None


# Sums and sizes are of the decompressed bytes: packagers compress the .gz anew, so sums of the .gz differ.
SHA256: Final[Mapping[str, str]] = {
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
}
SIZES: Final[Mapping[str, int]] = {
    "train-labels-idx1-ubyte": 60_008,
    "t10k-labels-idx1-ubyte": 10_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "train-images-idx3-ubyte": 47_040_016,
}
_GZIP_MAGIC: Final = b"\x1f\x8b"  # RFC 1952; an IDX file begins with two zero bytes
_GZIP_OVERHEAD: Final = 1 << 16  # far more than gzip ever adds to bytes that do not compress


@dataclass(frozen=True)
class FolderCheck:
    """What was found in a folder."""

    missing: tuple[str, ...]
    """Stems of the files that are not there, neither plain nor as .gz."""
    damaged: tuple[str, ...]
    """One line for each file that is there and is not the dataset's."""

    @property
    def state(self) -> str:
        """One of `complete`, `missing` (nothing is there), `incomplete` and `damaged`."""
        if self.damaged:
            return "damaged"
        if len(self.missing) == len(SHA256):
            return "missing"
        return "incomplete" if self.missing else "complete"

    @property
    def detail(self) -> str:
        """One line for people: what is wrong with the folder, or an empty string."""
        lacks = [f"{stem}.gz is missing" for stem in self.missing]
        if self.state == "missing":
            lacks = ["none of the dataset's files is in it"]
        return "; ".join([*self.damaged, *lacks])


def largest_file(stem: str) -> int:
    """Return the most bytes that the file may have, plain or compressed."""
    return SIZES[stem] + _GZIP_OVERHEAD


def verified_content(stem: str, raw: bytes) -> bytes:
    """Return the decompressed bytes of a file given as `raw`, which is plain or gzip.

    Raises DataError, naming no path, if they are truncated or not the dataset's.
    """
    content = _decompressed(stem, raw) if is_gzip(raw) else raw
    if len(content) < SIZES[stem]:
        raise DataError(f"truncated: {len(content)} bytes, not {SIZES[stem]}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[stem]:
        raise DataError(f"not the dataset's file: SHA-256 {digest[:12]}..., not {SHA256[stem][:12]}...")
    return content


def is_gzip(raw: bytes) -> bool:
    """Tell whether bytes are compressed; a file's name may not say so, where a proxy unpacked it."""
    return raw.startswith(_GZIP_MAGIC)


def read_verified(folder: Path, stem: str) -> bytes:
    """Return the decompressed bytes of one file of `folder`, plain or .gz, after checking its sum.

    Where several are there, one good file is enough. Raises FileNotFoundError if none is there,
    DataError if none is good or readable.
    """
    faults = []
    for path in _possible_files(folder, stem):
        try:
            with path.open("rb") as file:
                return verified_content(stem, file.read(largest_file(stem) + 1))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            faults.append(f"{path.name} cannot be read: {error.strerror}")
        except DataError as error:
            faults.append(f"{path.name} is {error}")
    if faults:
        raise DataError("; ".join(faults))
    raise FileNotFoundError(stem)


def _possible_files(folder: Path, stem: str) -> Iterator[Path]:
    """Yield where a file may be: in the folder or in torchvision's below it, under its own name or Kaggle's."""
    for place in (folder, folder / "FashionMNIST" / "raw", folder / "raw"):
        for name in (stem, stem.replace("-idx", ".idx")):
            yield place / name
            yield place / f"{name}.gz"


def check_folder(folder: Path) -> FolderCheck:
    """Read and verify all four files of a folder, which need not exist."""
    missing, damaged = [], []
    for stem in SHA256:
        try:
            read_verified(folder, stem)
        except FileNotFoundError:
            missing.append(stem)
        except DataError as error:
            damaged.append(str(error))
    return FolderCheck(tuple(missing), tuple(damaged))


def _decompressed(stem: str, raw: bytes) -> bytes:
    """Unpack gzip, and at most one byte more than the file should have."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            return file.read(SIZES[stem] + 1)
    except EOFError as error:
        raise DataError("truncated: the compressed data ends early") from error
    except (OSError, zlib.error) as error:
        raise DataError(f"damaged: {error}") from error
