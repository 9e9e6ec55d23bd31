"""The Fashion-MNIST dataset (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747): where it is, its files, its splits.

Numpy is imported only where arrays are made, so that `fmnist-edge data` starts at once.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from fmnist_edge.errors import DataError
from fmnist_edge.model_info import IMAGE_SIDE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SHA256", "Split", "SplitName", "find_dataset", "load_split", "parse_idx", "read_idx"]

SplitName = Literal["train", "validation", "test", "full-train"]

# The last 5,000 training images are validation: the test images are for reporting alone.
_ROWS: Final[dict[SplitName, tuple[str, slice]]] = {
    "train": ("train", slice(0, 55_000)),
    "validation": ("train", slice(55_000, 60_000)),
    "test": ("t10k", slice(0, 10_000)),
    "full-train": ("train", slice(0, 60_000)),
}
_IDX_UINT8: Final = b"\x00\x00\x08"  # two zero bytes, then the type: 0x08 is unsigned byte
_MOST_DIMENSIONS: Final = 32  # what every numpy can hold


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels, in the order of the files. The arrays are read-only."""

    images: NDArray[np.uint8]
    """uint8 [n, 28, 28], 0 is the black ground, 255 the brightest garment."""
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
    images = parse_idx(_read(place, f"{prefix}-images-idx3-ubyte"))
    labels = parse_idx(_read(place, f"{prefix}-labels-idx1-ubyte"))
    return Split(images[rows].reshape(-1, IMAGE_SIDE, IMAGE_SIDE), labels[rows])


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read any IDX file of unsigned bytes, plain or .gz, as a read-only uint8 array. Raises DataError."""
    try:
        raw = path.read_bytes()
        return parse_idx(gzip.decompress(raw) if is_gzip(raw) else raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def parse_idx(data: bytes) -> NDArray[np.uint8]:
    """Return what IDX bytes hold, as a read-only uint8 array of the shape that the header gives.

    The header is two zero bytes, the type, the number of dimensions, and each as a big-endian uint32
    (yann.lecun.com/exdb/mnist, "The IDX file format"). Raises DataError if header and length disagree.
    """
    if len(data) < 4 or data[:3] != _IDX_UINT8:
        raise DataError(f"not an IDX file of unsigned bytes: it begins with {data[:4].hex(' ') or 'nothing'}")
    if data[3] > _MOST_DIMENSIONS:
        raise DataError(f"damaged IDX header: {data[3]} dimensions")
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise DataError(f"truncated IDX header: {len(data)} bytes, not {header}")
    shape = struct.unpack(f">{data[3]}I", data[4:header])
    expected = header + math.prod(shape)
    if len(data) != expected:
        raise DataError(f"the IDX header promises {expected} bytes for {list(shape)}, the file has {len(data)}")
    import numpy as np

    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _read(folder: Path, stem: str) -> bytes:
    """Read a file that was there a moment ago."""
    try:
        return read_verified(folder, stem)
    except FileNotFoundError as error:
        raise DataError(f"{folder / stem} has just vanished: run `fmnist-edge data fetch`") from error


DATA_VARIABLE: Final = "FMNIST_DATA"
DEBIAN_FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist


@dataclass(frozen=True)
class Place:
    """One folder that may hold the dataset."""

    name: str
    folder: Path | None
    """None where nothing is set: the place does not exist on this machine."""
    explicit: bool
    """Somebody named this folder: when it is bad, that is an error, and no other is looked at."""


@dataclass(frozen=True)
class Look:
    """A place, and what was found there; None if it was not looked at."""

    place: Place
    check: FolderCheck | None

    @property
    def complete(self) -> bool:
        """Tell whether the dataset is there, all of it and verified."""
        return self.check is not None and self.check.state == "complete"

    @property
    def state(self) -> str:
        """One of `not-set`, `not-looked-at` and the states of FolderCheck."""
        if self.place.folder is None:
            return "not-set"
        return self.check.state if self.check else "not-looked-at"


def places(folder: Path | None = None) -> tuple[Place, ...]:
    """Return all places in the order of looking; `folder` is the one given by --data, if any."""
    return (
        Place("--data", folder, explicit=True),
        Place(f"${DATA_VARIABLE}", _data_variable(), explicit=True),
        Place("user's cache", cache_folder(), explicit=False),
        Place("Keras's cache", _keras_folder(), explicit=False),
        Place("Debian's package", DEBIAN_FOLDER, explicit=False),
    )


def look(folder: Path | None = None) -> Iterator[Look]:
    """Yield each place in order; after a complete or explicitly named one, no more are looked at."""
    decided = False
    for place in places(folder):
        if decided or place.folder is None:
            yield Look(place, None)
            continue
        result = Look(place, check_folder(place.folder))
        decided = result.complete or place.explicit
        yield result


def find_dataset(folder: Path | None = None) -> Path:
    """Return the folder whose four files all verify: `folder` if given, else the first of `places`.

    Raises DataError if `folder` or $FMNIST_DATA is given and bad, or if no place has the dataset.
    """
    faults = []
    for result in look(folder):
        if result.complete:
            assert result.place.folder is not None
            return result.place.folder
        if result.check and result.place.explicit:
            raise _bad_explicit(result.place, result.check)
        if result.check and result.state != "missing":
            faults.append(f" ({result.place.folder}: {result.check.detail})")
    raise DataError(
        f"the Fashion-MNIST dataset is not on this machine{''.join(faults)}: get it with `fmnist-edge data fetch`"
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
    given, own = os.environ.get("KERAS_HOME"), home()
    keras = Path(given) if given else own / ".keras" if own else None
    return keras / "datasets" / "fashion-mnist" if keras else None


def _bad_explicit(place: Place, check: FolderCheck) -> DataError:
    origin = f" (from {place.name})" if place.name.startswith("$") else ""
    return DataError(
        f"{place.folder}{origin} is not a good copy of the dataset: {check.detail}; "
        f"get one with `fmnist-edge data fetch{' --overwrite' if check.damaged else ''} -o {place.folder}`"
    )


APPLICATION = "fmnist-edge"


def home() -> Path | None:
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
    base = _windows_base() if platform == "win32" else _mac_base() if platform == "darwin" else _xdg_base()
    return base / APPLICATION if base else None


def _xdg_base() -> Path | None:
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else _below_home(".cache")


def _mac_base() -> Path | None:
    return _below_home("Library", "Caches")


def _windows_base() -> Path | None:
    given = os.environ.get("LOCALAPPDATA")
    return Path(given) if given else _below_home("AppData", "Local")


def _below_home(*parts: str) -> Path | None:
    folder = home()
    return folder.joinpath(*parts) if folder else None


# Sums and sizes are of the decompressed bytes: packagers compress the .gz anew, so sums of the .gz differ.
SHA256: Final[Mapping[str, str]] = MappingProxyType(
    {
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    }
)
SIZES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "train-labels-idx1-ubyte": 60_008,
        "t10k-labels-idx1-ubyte": 10_008,
        "t10k-images-idx3-ubyte": 7_840_016,
        "train-images-idx3-ubyte": 47_040_016,
    }
)
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
