"""The Fashion-MNIST dataset as arrays (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747)."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import IMAGE_SIDE
from fmnist_edge.data.files import SHA256, is_gzip, read_verified
from fmnist_edge.data.places import find_dataset
from fmnist_edge.errors import DataError

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

    Raises DataError if it is not there or damaged; ValueError for a name that is no split.
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
    expected = header + int(np.prod(shape, dtype=object))
    if len(data) != expected:
        raise DataError(f"the IDX header promises {expected} bytes for {list(shape)}, the file has {len(data)}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _read(folder: Path, stem: str) -> bytes:
    """Read a file that was there a moment ago."""
    try:
        return read_verified(folder, stem)
    except FileNotFoundError as error:
        raise DataError(f"{folder / stem} has just vanished: run `fmnist-edge data fetch`") from error
