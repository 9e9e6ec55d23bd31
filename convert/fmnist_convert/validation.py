"""What kind of file a model is, and what is refused before any library reads it.

A stranger's file can be an archive that unpacks to gigabytes, HDF5 that links to other files of the machine or declares
arrays that it does not hold, or no model at all. Imports neither Keras nor TensorFlow nor onnx.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TypeAlias

from fmnist_edge.errors import ModelError

Kind: TypeAlias = Literal["keras", "h5", "saved-model", "onnx"]

MAX_BYTES: Final = 256 * 2**20  # of all weights: ten times those of the largest networks for 28x28 pixels
MAX_CONFIG_BYTES: Final = 16 * 2**20
_MAX_OBJECTS: Final = 20_000  # groups and arrays of an HDF5 file
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.weights.h5"
_METADATA: Final = "metadata.json"
RECORD_MEMBER: Final = "training.json"  # the training room puts its record into the .keras archive by this name
# What a damaged archive, HDF5 file or description can raise; RuntimeError if it is encrypted or nested too deeply.
_UNREADABLE: Final = (OSError, KeyError, ValueError, TypeError, RuntimeError, EOFError, struct.error)
_UNREADABLE_ARCHIVE: Final = (*_UNREADABLE, zipfile.BadZipFile, zlib.error, NotImplementedError)


_TOO_LARGE: Final = "no network for these images needs so much; convert a smaller one"
_ELSEWHERE: Final = "are in another file; save the model whole with `model.save('model.keras')`"


@dataclass(frozen=True)
class KerasFile:
    """The parts of a validated .keras or .h5 file."""

    config: Any  # the parsed description of the network
    weights: bytes  # an HDF5 file: the archive's member, or the .h5 file itself
    version: str  # of the Keras that wrote it, or "unknown"
    record: dict[str, Any]  # what this project's training recorded, or {}
    values: int  # how many numbers the weights hold


def model_kind(path: Path) -> Kind:
    """Return a model file's kind, by its content. Raises ModelError for what is not a model, saying what helps."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "saved-model"
        raise ModelError(f"{path} is a folder, but not a SavedModel: it has no saved_model.pb; give the model itself")
    if not path.exists():
        raise ModelError(f"no model at {path}: give a .keras, .h5 or .onnx file, or a SavedModel folder")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise ModelError(f"can't read model {path}: {error.strerror}; check its permissions") from error
    return _kind_by_content(path, start)


def _kind_by_content(path: Path, start: bytes) -> Kind:
    if start.startswith(_HDF5):
        return "h5"
    if start.startswith(b"PK"):
        return "keras"
    if not start:
        raise ModelError(f"{path} is empty: save or download the model again")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(
            f"{path} is a Git LFS pointer, not the model itself: run `git lfs pull` where it was cloned, or download "
            "the file from the repository's page"
        )
    if start[4:8] == b"TFL3":
        raise ModelError(f"{path} is a .tflite file, which can't be converted back: give the Keras model it came from")
    if start.lstrip()[:1] == b"<":
        raise ModelError(f"{path} is a web page, not a model: download the file itself")
    if start.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise ModelError(f"{path} is a Python pickle, which can run code and is never opened: export it to .onnx first")
    if path.suffix in (".keras", ".h5", ".hdf5"):
        raise ModelError(
            f"{path} is not a Keras model: it is neither a zip archive nor an HDF5 file; save or download it again"
        )
    if path.suffix == ".pb":
        raise ModelError(f"{path} is one file of a SavedModel: give the folder that it is in")
    return "onnx"


def model_sha256(path: Path) -> str:
    """Return the SHA-256 of a model file, or of a folder's files with their names in sorted order."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(part for part in path.rglob("*") if part.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def read_keras_archive(path: Path) -> KerasFile:
    """Read and validate a .keras file. Raises ModelError."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            _check_archive(path, sizes)
            config = json.loads(archive.read(_CONFIG))
            weights = archive.read(_WEIGHTS)
            metadata = json.loads(archive.read(_METADATA)) if _METADATA in sizes else {}
            record = json.loads(archive.read(RECORD_MEMBER)) if RECORD_MEMBER in sizes else {}
        values = _check_weights(path, io.BytesIO(weights))
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path} is cut off or damaged ({error}): download or save it again") from error
    except _UNREADABLE_ARCHIVE as error:
        raise ModelError(
            f"{path} is not a Keras model: {_first_line(error)}; save it with `model.save('model.keras')`"
        ) from error
    if not isinstance(record, dict) or not isinstance(metadata, dict):
        raise ModelError(f"{path} is damaged: its metadata are not a JSON object; save or download it again")
    return KerasFile(config, weights, str(metadata.get("keras_version", "unknown")), record, values)


def _check_archive(path: Path, sizes: dict[str, int]) -> None:
    if sum(sizes.values()) > MAX_BYTES or sizes.get(_CONFIG, 0) > MAX_CONFIG_BYTES:
        raise ModelError(f"{path} unpacks to more than {MAX_BYTES >> 20} MiB: {_TOO_LARGE}")
    if _CONFIG not in sizes:
        if any(name.endswith("saved_model.pb") for name in sizes):
            raise ModelError(f"{path} is a zipped SavedModel: unpack it and give the folder")
        if any(name.endswith(("data.pkl", "/version")) for name in sizes):
            raise ModelError(
                f"{path} is a PyTorch file, which can run code and is never opened: export it with "
                "`torch.onnx.export(model.eval(), torch.zeros(1, 1, 28, 28), 'model.onnx')` and convert the .onnx"
            )
        raise ModelError(f"{path} is a zip archive, but not a Keras model: unpack it and give the model in it")
    if _WEIGHTS not in sizes:
        raise ModelError(f"{path} has no weights inside: save it with `model.save('model.keras')`")


def read_h5_file(path: Path) -> KerasFile:
    """Read and validate an .h5 file of a whole model. Raises ModelError."""
    import h5py

    if path.stat().st_size > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MiB: {_TOO_LARGE}")
    content = path.read_bytes()
    try:
        values = _check_weights(path, io.BytesIO(content))
        with h5py.File(io.BytesIO(content), "r") as file:
            described = _text(file.attrs.get("model_config"))
            version = _text(file.attrs.get("keras_version")) or "unknown"
            if described is None:
                raise ModelError(_weights_only(path, version))
            config = json.loads(described)
    except _UNREADABLE as error:
        raise ModelError(f"{path} is cut off or damaged ({_first_line(error)}): download or save it again") from error
    return KerasFile(config, content, version, {}, values)


def _weights_only(path: Path, version: str) -> str:
    return (
        f"{path} holds weights alone, without the network (save_weights, or a ModelCheckpoint with save_weights_only; "
        f"written by Keras {version}): build the model, `model.load_weights(...)`, and `model.save('model.keras')`"
    )


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def _check_weights(path: Path, content: BinaryIO) -> int:
    """Return how many numbers an HDF5 file holds. Raises ModelError for links to other files and for too many."""
    import h5py  # not above: it is installed only with Keras

    with h5py.File(content, "r") as file:
        values = size = 0
        for name, dataset in _datasets(file, path):
            values, size = values + int(dataset.size or 0), size + int(dataset.nbytes)
            if dataset.external or dataset.is_virtual:
                raise ModelError(f"{path} is not read: its weights {name} {_ELSEWHERE}")
            if size > 3 * MAX_BYTES:  # an optimizer keeps two more numbers for each weight
                raise ModelError(f"{path} unpacks to more than {3 * MAX_BYTES >> 20} MiB: {_TOO_LARGE}")
    return values


def _datasets(file: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield every array of an HDF5 file with its name, each group once. Raises ModelError for external links."""
    import h5py

    seen: set[int] = set()
    waiting = [file]
    while waiting:
        group = waiting.pop()
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                raise ModelError(f"{path} is not read: its weights {name} {_ELSEWHERE}")
            part = group[name]
            address = h5py.h5o.get_info(part.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MAX_OBJECTS:
                raise ModelError(f"{path} has more than {_MAX_OBJECTS:,} parts: {_TOO_LARGE}")
            if isinstance(part, h5py.Group):
                waiting.append(part)
            elif isinstance(part, h5py.Dataset):
                yield name, part


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
