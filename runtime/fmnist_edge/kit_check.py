"""A kit on disk: is it one, may it be replaced, is it whole, and does this device give its answers?

The check runs the kit's models, never its programs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fmnist_edge.contract import LABELS
from fmnist_edge.errors import FmnistEdgeError, ModelError, UsageError
from fmnist_edge.kit import FACTS, LABELS_FILE, SUMS, VECTORS_FILE, WEB_RUNTIME, parse_sums, read_kit_vectors
from fmnist_edge.model_info import sha256_of
from fmnist_edge.self_test import Vectors, check_model

Finding = tuple[bool, str]
_KINDS: Final = ("classifier", "photo")
_SHOWN: Final = 5  # damaged files are named one by one, up to so many


@dataclass(frozen=True)
class KitCheck:
    """What the check of a kit found."""

    findings: list[Finding]
    """Each check as (held, what it found)."""
    notes: list[str]
    """What is worth knowing and no fault."""

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return all(held for held, _ in self.findings)


def check_kit(folder: Path) -> KitCheck:
    """Check sums, labels and contract of a kit, and run its self-test on each of its models.

    Raises ModelError if the folder is no kit.
    """
    if not is_kit(folder):
        raise ModelError(f"no kit in {folder}: it should hold {SUMS} and {FACTS}; `fmnist-edge deploy` makes one")
    found = differences(folder)
    findings = [*_file_findings(found), _label_finding(folder), *_answer_findings(folder)]
    return KitCheck(findings, _notes(folder, found))


def _file_findings(found: Differences) -> Iterator[Finding]:
    wrong = [f"{name} is missing" for name in found.missing]
    wrong += [f"{name} is not the file that was deployed" for name in found.changed]
    if not wrong:
        yield True, f"{found.listed} files, each with its SHA-256"
    for line in wrong[:_SHOWN]:
        yield False, line
    if len(wrong) > _SHOWN:
        yield False, f"and {len(wrong) - _SHOWN} more files"


def _label_finding(folder: Path) -> Finding:
    """Tell whether all places name the same labels; the models' own are checked when they are opened."""
    try:
        facts = json.loads((folder / FACTS).read_bytes())
        labels = [json.loads((folder / LABELS_FILE).read_bytes()), *(facts[kind]["labels"] for kind in _KINDS)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return False, f"the labels cannot be read ({error!r})"
    same = all(found == list(LABELS) for found in labels)
    return same, f"{LABELS_FILE} and {FACTS}: the labels {'are' if same else 'are not'} those of the models"


def _answer_findings(folder: Path) -> Iterator[Finding]:
    try:
        index = json.loads((folder / VECTORS_FILE).read_bytes())
        classifier, photo_model = (folder / index[kind]["model"] for kind in _KINDS)
        images, photos = read_kit_vectors(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield False, f"the self-test vectors cannot be read ({error!r})"
        return
    yield from _both_forms(classifier, images)
    yield from _both_forms(photo_model, photos)


def _both_forms(model: Path, vectors: Vectors) -> Iterator[Finding]:
    """Test an .onnx file and, where the kit has it, its .ort form."""
    yield from _self_test(model, vectors)
    ort = model.with_suffix(".ort")
    if not ort.exists():
        return
    # Its bytes differ from run to run, so that its sum stands in SHA256SUMS alone.
    for held, line in _self_test(ort, replace(vectors, model_sha256=sha256_of(ort))):
        if "SHA-256" not in line:
            yield held, f"{ort.name}: {line}"


def _self_test(model: Path, vectors: Vectors) -> list[Finding]:
    try:
        return check_model(model, vectors).findings()
    except FmnistEdgeError as error:
        return [(False, str(error))]


def _notes(folder: Path, found: Differences) -> list[str]:
    notes = []
    if found.added:
        notes.append(f"{len(found.added)} files are no part of the kit, the first: {found.added[0]}")
    if not (folder / WEB_RUNTIME).exists():
        notes.append("the web page has no runtime yet: see README.md")
    return notes


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
        return {FACTS, VECTORS_FILE} <= parse_sums((folder / SUMS).read_bytes()).keys()
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
