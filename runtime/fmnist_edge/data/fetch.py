"""Fetching the dataset: web mirrors first, then Debian's package. Imports no numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fmnist_edge.atomic import write_atomically
from fmnist_edge.data.debian import PACKAGE, files_from_debian
from fmnist_edge.data.fetch_listener import FetchListener
from fmnist_edge.data.files import SHA256, is_gzip, read_verified
from fmnist_edge.data.mirrors import download_from_mirror, wanted_mirrors
from fmnist_edge.errors import DataError, OutputError

STALL_SECONDS: Final = 30.0  # as long as a slow satellite link may pause; a dead mirror costs no more
_SILENT: Final = FetchListener()


@dataclass(frozen=True)
class _Source:
    """Somewhere files can come from: yields (stem, verified bytes, .gz or plain), or raises DataError."""

    name: str
    files: Callable[[Sequence[str]], Iterator[tuple[str, bytes]]]


def fetch_dataset(
    folder: Path,
    *,
    mirrors: Sequence[str] | None = None,
    debian: bool = True,
    force: bool = False,
    stall_seconds: float = STALL_SECONDS,
    listener: FetchListener = _SILENT,
) -> Path:
    """Fetch the four files into `folder`, made if missing, and return it.

    `mirrors` are base URLs, tried in order ($FMNIST_MIRRORS or the public ones by default); what they do not
    give comes from Debian's package, unless `debian` is false. Good files that are there already are kept,
    unless `force` is true. A file is verified in memory and then moves into place in one step, so it is whole
    or absent, and any number of processes may fetch at once.
    Raises DataError if a file could not be had anywhere, OutputError if `folder` cannot be written.
    """
    wanted = [stem for stem in SHA256 if force or not _is_good(folder, stem)]
    faults: list[str] = []
    for source in _sources(mirrors, debian, stall_seconds, listener):
        if not wanted:
            break
        listener.step(f"fetching from {source.name}")
        try:
            for stem, raw in source.files(tuple(wanted)):
                _store(folder, stem, raw)
                wanted.remove(stem)
                listener.step(f"{stem}: {len(raw) / 1e6:.1f} MB, verified")
        except DataError as error:
            faults.append(f"{source.name}: {error}")
            listener.step(f"{source.name} failed: {error}")
    if wanted:
        raise DataError(_failure(faults))
    return folder


def _sources(
    mirrors: Sequence[str] | None, debian: bool, stall_seconds: float, listener: FetchListener
) -> Iterator[_Source]:
    """Yield the sources in the order of trying them."""

    def from_mirror(mirror: str) -> Callable[[Sequence[str]], Iterator[tuple[str, bytes]]]:
        return lambda stems: ((stem, download_from_mirror(mirror, stem, stall_seconds, listener)) for stem in stems)

    for mirror in wanted_mirrors() if mirrors is None else mirrors:
        yield _Source(mirror, from_mirror(mirror))
    if debian:
        yield _Source(
            f"Debian's package {PACKAGE}",
            lambda stems: iter(files_from_debian(stems, stall_seconds, listener).items()),
        )


def _store(folder: Path, stem: str, raw: bytes) -> None:
    """Write verified bytes under the name that tells whether they are compressed."""
    path = folder / (f"{stem}.gz" if is_gzip(raw) else stem)
    try:
        write_atomically(path, raw)
    except OutputError:
        # Windows lets nobody replace a file that is open: another process may just read its own good copy.
        if not _is_good(folder, stem):
            raise


def _is_good(folder: Path, stem: str) -> bool:
    try:
        read_verified(folder, stem)
    except (DataError, FileNotFoundError):
        return False
    return True


def _failure(faults: Sequence[str]) -> str:
    reasons = "; ".join(faults) or "there is no source to try"
    return (
        f"the dataset could not be fetched ({reasons}). Try again with a network, or bring the four files "
        f"({', '.join(f'{stem}.gz' for stem in SHA256)}) in a folder and name it with --data or $FMNIST_DATA"
    )
