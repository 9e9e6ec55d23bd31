"""A kit on disk: is it one, may it be replaced, is it whole, and does this device give its answers?

The check runs the kit's models, never its programs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.errors import FmnistEdgeError, ModelError, UsageError
from fmnist_edge.kit import DESCRIPTION, LABELS_FILE, SUMS, VECTORS, VECTORS_FILE, WEB_RUNTIME
from fmnist_edge.model_info import LABELS, sha256_of
from fmnist_edge.self_test import ClassifierVectors, PhotoVectors, Vectors, check_model, expected_probabilities

Finding = tuple[bool, str]
_KINDS: Final = ("classifier", "photo")
_SUM_LINE: Final = re.compile(r"([0-9a-f]{64})  (\S.*)")
_NPM_FOLDER: Final = "node_modules"
_NPM_FILES: Final = ("package-lock.json", "package.json")
_SHOWN: Final = 5  # damaged files are named one by one, up to so many


@dataclass(frozen=True)
class KitCheck:
    """What the check of a kit found."""

    findings: list[Finding]
    """Each check as (held, what it found)."""
    notes: list[str]
    """What is worth knowing but not a fault."""

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return all(held for held, _ in self.findings)


def check_kit(folder: Path) -> KitCheck:
    """Check sums, labels and contract of a kit, and run its self-test on each of its models.

    Raises ModelError if the folder isn't a kit.
    """
    if not is_kit(folder):
        raise ModelError(f"no kit in {folder}: it should hold {SUMS} and {DESCRIPTION}; `fmnist-edge deploy` makes one")
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
        described = json.loads((folder / DESCRIPTION).read_bytes())
        labels = [json.loads((folder / LABELS_FILE).read_bytes()), *(described[kind]["labels"] for kind in _KINDS)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return False, f"the labels cannot be read ({error!r})"
    same = all(found == list(LABELS) for found in labels)
    return same, f"{LABELS_FILE} and {DESCRIPTION}: the labels {'are' if same else 'are not'} those of the models"


def _answer_findings(folder: Path) -> Iterator[Finding]:
    try:
        index = json.loads((folder / VECTORS_FILE).read_bytes())
        classifier, photo_model = (folder / index[kind]["model"] for kind in _KINDS)
        images, photos = _read_vectors(folder / VECTORS, index)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield False, f"the self-test vectors cannot be read ({error!r})"
        return
    yield from _both_forms(classifier, images)
    yield from _both_forms(photo_model, photos)


def _read_vectors(folder: Path, index: dict[str, Any]) -> tuple[ClassifierVectors, PhotoVectors]:
    """Return the self-test vectors. Raises OSError, or ValueError, KeyError, TypeError if they are damaged."""
    (images, digest, tolerance), (photos, photo_digest, photo_tolerance) = (
        (index[kind], index[kind]["sha256"], float(index[kind]["tolerance"])) for kind in _KINDS
    )

    def pixels(name: str, shape: list[int]) -> NDArray[np.uint8]:
        return np.frombuffer((folder / name).read_bytes(), np.uint8).reshape(shape)

    batch = pixels(images["images"], images["shape"])
    singles = tuple(pixels(answer["file"], answer["shape"]) for answer in photos["answers"])
    return (
        ClassifierVectors(digest, tolerance, batch, expected_probabilities(images["answers"])),
        PhotoVectors(photo_digest, photo_tolerance, singles, expected_probabilities(photos["answers"])),
    )


def _both_forms(model: Path, vectors: Vectors) -> Iterator[Finding]:
    """Test an .onnx file and, where the kit has it, its .ort form."""
    yield from _self_test(model, vectors)
    ort = model.with_suffix(".ort")
    if not ort.exists():
        return
    # Its bytes differ from run to run, so its sum is in SHA256SUMS alone.
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
        what = "1 file is" if len(found.added) == 1 else f"{len(found.added)} files are"
        notes.append(f"{what} not part of the kit, the first: {found.added[0]}")
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
    npm: list[str]
    """What npm put there: its files, and its folders as a whole; neither ours nor a person's work."""


def check_replaceable(folder: Path, inputs: Sequence[Path] = (), *, overwrite: bool = False) -> list[str]:
    """Return what npm put into a folder, to be kept when a kit is written there.

    Raises UsageError if something else than a kit is there, an `input`, or, without `overwrite`, a file that someone
    changed or added.
    """
    if os.path.exists(folder) and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder")
    for path in inputs:
        if path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{path} lies in {folder}, which is replaced as a whole; name another folder")
    if not os.path.exists(folder) or not any(folder.iterdir()):
        return []
    if not is_kit(folder):
        raise UsageError(f"{folder} is not empty and not a kit, so it is left alone; name a new folder")
    found = differences(folder)
    own = [*found.changed, *found.added]
    if own and not overwrite:
        count = f"{len(own)} file{'s' if len(own) > 1 else ''} changed or added by someone ({own[0]})"
        raise UsageError(f"{folder} is a kit with {count}; move them away, or lose them with --overwrite")
    return found.npm


def is_kit(folder: Path) -> bool:
    """Tell whether a folder holds a kit, damaged or not: its list names what only a kit has."""
    try:
        return {DESCRIPTION, VECTORS_FILE} <= parse_sums((folder / SUMS).read_bytes()).keys()
    except (OSError, ValueError):
        return False


def differences(folder: Path) -> Differences:
    """Compare a kit with its SHA256SUMS. Raises ModelError if that cannot be read."""
    try:
        sums = parse_sums((folder / SUMS).read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the list of the kit in {folder} ({error}); deploy again") from error
    present, npm = _files_in(folder, sums.keys())
    return Differences(
        len(sums),
        sorted(sums.keys() - present),
        sorted(name for name in sums.keys() & present if _sum(folder / name) != sums[name]),
        sorted(present - sums.keys() - {SUMS}),
        sorted(npm),
    )


def _files_in(folder: Path, listed: Container[str]) -> tuple[set[str], set[str]]:
    """Return all files and links below a folder, with forward slashes, and apart from them what npm put there.

    Linked folders are not followed; what Python compiled is passed over.
    """
    files: set[str] = set()
    npm: set[str] = set()
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in (*names, *links, *(name for name in folders if name == _NPM_FOLDER)):
            path = (Path(place) / name).relative_to(folder).as_posix()
            (npm if name in (_NPM_FOLDER, *_NPM_FILES) and path not in listed else files).add(path)
        folders[:] = [name for name in folders if name not in (_NPM_FOLDER, "__pycache__")]
    return files, npm


def _sum(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def parse_sums(content: bytes) -> dict[str, str]:
    """Return path to SHA-256. Raises ValueError on anything but such lines, or on a path that leads elsewhere."""
    sums = {}
    for line in content.decode("utf-8").splitlines():
        match = _SUM_LINE.fullmatch(line)
        path = PurePosixPath(match[2] if match else "..")
        if match is None or path.is_absolute() or ".." in path.parts or "\\" in line or ":" in line:
            raise ValueError(f"{SUMS} has the line {line[:100]!r}")
        sums[match[2]] = match[1]
    return sums
