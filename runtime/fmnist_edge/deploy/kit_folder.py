"""A kit on disk: whether a folder is one, what differs from its list, and whether it may be replaced."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from fmnist_edge.deploy.kit import FACTS
from fmnist_edge.deploy.kit_vectors import INDEX
from fmnist_edge.deploy.sums import SUMS, parse_sums
from fmnist_edge.errors import ModelError, UsageError


@dataclass(frozen=True)
class Differences:
    """How a kit differs from its SHA256SUMS; paths within the kit, sorted."""

    listed: int
    """How many files the kit should hold."""
    missing: list[str]
    changed: list[str]
    added: list[str]


def check_replaceable(folder: Path, *, force: bool = False) -> None:
    """Refuse to write a kit where something else is, or a kit with files of someone's own (unless `force`).

    Raises UsageError; nothing is touched.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not is_kit(folder):
        raise UsageError(f"{folder} is not empty and no kit, so it is left alone; name a new folder")
    found = differences(folder)
    own = [*found.changed, *found.added]
    if own and not force:
        count = f"{len(own)} file{'s' if len(own) > 1 else ''} changed or added by someone ({own[0]})"
        raise UsageError(f"{folder} is a kit with {count}; move them away, or lose them with --force")


def is_kit(folder: Path) -> bool:
    """Tell whether a folder holds a kit, damaged or not: its list names what only a kit has."""
    try:
        return {FACTS, INDEX} <= parse_sums((folder / SUMS).read_bytes()).keys()
    except (OSError, ValueError):
        return False


def differences(folder: Path) -> Differences:
    """Compare a kit with its SHA256SUMS. Raises ModelError if that cannot be read."""
    try:
        sums = parse_sums((folder / SUMS).read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the list of the kit in {folder} ({error}); deploy again") from error
    present = _files_in(folder)
    return Differences(
        len(sums),
        sorted(sums.keys() - present),
        sorted(name for name in sums.keys() & present if _sum(folder / name) != sums[name]),
        sorted(present - sums.keys() - {SUMS}),
    )


def _files_in(folder: Path) -> set[str]:
    """Return all files and links below a folder, with forward slashes; linked folders are not followed."""
    found = set()
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found |= {(Path(place) / name).relative_to(folder).as_posix() for name in (*names, *links)}
    return found


def _sum(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
