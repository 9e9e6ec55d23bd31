"""The four files of the dataset: their sums, and telling a good copy from a bad one. Imports no numpy."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fmnist_edge.errors import DataError

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
            lacks = ["it holds none of the dataset's files"]
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

    Where both are there, one good file is enough. Raises FileNotFoundError if neither is there,
    DataError if none is good or readable.
    """
    faults = []
    for path in (folder / stem, folder / f"{stem}.gz"):
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
