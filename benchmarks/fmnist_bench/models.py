"""The contenders' model files, all made from the one Keras original, in a folder of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fmnist_bench.contenders import registry
from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import DataError, ModelError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, read_side_json, sha256_of

PREPARED: Final = "prepared.json"  # written last: what is missing, or was made from another original, is made again
_CHECKOUT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Prepared:
    """The folder with what could be made."""

    folder: Path
    missing: dict[str, str]
    """File name to why it could not be made."""
    original: str | None
    """SHA-256 of the Keras original, if it was at hand."""


def find_original(given: Path | None) -> Path | None:
    """Return the Keras original: the one given, or that of the checkout this module lies in; None without either.

    Raises ModelError if the one given is missing.
    """
    if given is not None and not given.is_file():
        raise ModelError(f"no model at {given}: give the path of the .keras file that the shipped .onnx was made from")
    committed = _CHECKOUT / "train" / "artifacts" / "fmnist-mlp.keras"
    return given or (committed if committed.is_file() else None)


def prepare_models(original: Path | None, folder: Path) -> Prepared:
    """Make the model files of all contenders, unless they lie there already.

    Without the original, or without TensorFlow, only the shipped int8 file is there. Raises ModelError if the
    shipped file was made from another original: then the contenders would not run the same weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(EMBEDDED_CLASSIFIER, folder / registry.INT8)
    made = {one.model for one in registry.CONTENDERS} - {registry.INT8}
    if original is None:
        return Prepared(folder, dict.fromkeys(made, "the Keras original is not here: give --original FILE"), None)
    sha256 = sha256_of(original)
    recorded = read_side_json(EMBEDDED_CLASSIFIER)["original"]["sha256"]
    if sha256 != recorded:
        raise ModelError(f"the shipped int8 file was not made from {original}: run `make convert-models` first")
    if _is_current(folder, sha256):
        return Prepared(folder, _missing(folder), sha256)
    shutil.copyfile(original, folder / registry.ORIGINAL)
    _make(folder)
    write_atomically(folder / PREPARED, json.dumps({"original": sha256, "missing": _missing(folder)}))
    return Prepared(folder, _missing(folder), sha256)


def _is_current(folder: Path, sha256: str) -> bool:
    try:
        facts: dict[str, Any] = json.loads((folder / PREPARED).read_bytes())
    except (OSError, ValueError):
        return False
    return facts == {"original": sha256, "missing": _missing(folder)} and not facts["missing"]


def _missing(folder: Path) -> dict[str, str]:
    files = {one.model for one in registry.CONTENDERS}
    return {name: "TensorFlow, tf2onnx and onnx make it" for name in files if not (folder / name).is_file()}


def _make(folder: Path) -> None:
    """Convert in a process of its own: TensorFlow takes half a gigabyte and logs to standard error."""
    for name in {one.model for one in registry.CONTENDERS} - {registry.INT8, registry.ORIGINAL}:
        (folder / name).unlink(missing_ok=True)
    command = [sys.executable, "-m", "fmnist_bench.conversion", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if "ModuleNotFoundError" not in reason and "MissingExtraError" not in reason:
            raise DataError(f"the contenders' models could not be made: {reason}")
