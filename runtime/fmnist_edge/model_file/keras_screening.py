"""What of a .keras file is refused before Keras sees it.

Keras's safe mode refuses lambda layers. Versions from 3.5 on are supported, and in several of them a file could still
name any function of any module, or of Keras itself (CVE-2025-1550, CVE-2025-8747, CVE-2025-9906): so only the parts
that networks are made of are let through. And HDF5, in which the weights lie, can lead to other files of the machine.
Imports no Keras.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fmnist_edge.errors import ModelError

# Kept small: networks for 28x28 pixels, or 96x96, whose shipped files have 0.4 MB.
MAX_BYTES: Final = 256 * 2**20
_CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.weights.h5"
_MODULES: Final = frozenset(
    {
        "keras",
        "keras.layers",
        "keras.models",
        "keras.initializers",
        "keras.regularizers",
        "keras.constraints",
        "keras.activations",
        "keras.src.models.functional",
        "keras.src.models.sequential",
        "builtins",  # names of activations; Keras looks them up among its own
    }
)
_NAMELESS: Final = frozenset({"__keras_tensor__", "__numpy__", "__tensor__"})  # values, not objects
# What a damaged archive or configuration can raise; RuntimeError of an encrypted one, or of brackets in brackets.
_UNREADABLE: Final = (OSError, KeyError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)


def screen_keras_file(path: Path) -> None:
    """Raise ModelError unless a .keras file can be read, consists of Keras's layers and brings its weights itself.

    Needs h5py, which comes with Keras.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ModelError(f"{path} unpacks to more than {MAX_BYTES >> 20} MiB: no model of these contracts does")
            config, weights = json.loads(archive.read(_CONFIG)), archive.read(_WEIGHTS)
        fault = next(_foreign(config), None) or next(_elsewhere(weights), None)
    except _UNREADABLE as error:
        raise ModelError(f"{path} is not a Keras model: {error}") from error
    if fault:
        raise ModelError(f"{path} is not a Keras model that can be loaded safely: {fault}")


def _foreign(value: Any) -> Iterator[str]:
    """Yield what a configuration names outside the modules of layers."""
    if isinstance(value, dict):
        if "class_name" in value and value["class_name"] not in _NAMELESS:
            module = value.get("module")
            if module is not None and module not in _MODULES:
                yield f"it names {value['class_name']!r} of {module!r}"
        for part in value.values():
            yield from _foreign(part)
    elif isinstance(value, list):
        for part in value:
            yield from _foreign(part)


def _elsewhere(weights: bytes) -> Iterator[str]:
    """Yield which weights would be read from another file."""
    import h5py  # not above: who never loads a .keras file may lack it

    with h5py.File(io.BytesIO(weights), "r") as file:
        yield from _linked(file)


def _linked(group: Any) -> Iterator[str]:
    """Yield what of a group of an HDF5 file is no part of this file: links, and data kept or put together elsewhere."""
    import h5py

    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            yield f"its weights {name} lie in another file"
        elif isinstance(group[name], h5py.Group):
            yield from _linked(group[name])
        elif group[name].external or group[name].is_virtual:
            yield f"its weights {name} lie in another file"
