"""Making .keras files from strangers out of good ones."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

# What a layer could name: code of any module, and Keras's own switches.
FOREIGN = [("os", "system"), ("keras.utils", "get_file"), ("keras.config", "enable_unsafe_deserialization")]


def with_member(source: Path, target: Path, member: str, content: bytes) -> Path:
    """Copy a .keras file with one file of its archive replaced."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == member else old.read(name))
    return target


def with_foreign_layer(source: Path, target: Path, module: str, name: str) -> Path:
    """Copy a .keras file with one more layer, which is something else."""
    with zipfile.ZipFile(source) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"].append({"module": module, "class_name": name, "config": {}, "registered_name": None})
    return with_member(source, target, "config.json", json.dumps(config).encode())


def with_linked_weights(source: Path, target: Path) -> Path:
    """Copy a .keras file whose weights lead to another file of the machine."""
    import h5py

    with zipfile.ZipFile(source) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights, "r+") as file:
        file["stolen"] = h5py.ExternalLink("/etc/passwd", "/")
    return with_member(source, target, "model.weights.h5", weights.getvalue())
