"""What a kit is made of: the models and facts of this package, its examples, and a web page."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fmnist_edge.contract import LABELS, PHOTO_MAX_SIDE
from fmnist_edge.deploy.kit_vectors import FOLDER, vector_files
from fmnist_edge.deploy.operator_config import CONFIG, operator_config
from fmnist_edge.deploy.ort_format import ort_file
from fmnist_edge.deploy.sums import SUMS, sums_of
from fmnist_edge.deploy.web_runtime import PACKAGE, WebRuntime
from fmnist_edge.model_file.info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, MODELS, read_side_json
from fmnist_edge.version import __version__

FACTS: Final = "model.json"
LABELS_FILE: Final = "labels.json"
WEB: Final = "web"
WEB_RUNTIME: Final = f"{WEB}/ort"
SCHEMA: Final = 1  # of model.json; raised when a key changes its meaning
_EXAMPLES: Final = Path(__file__).parent / "kit"
_SERVICE_WORKER: Final = f"{WEB}/service-worker.js"
_FILES_MARK: Final = b'const KIT = { version: "", files: {} };'  # where the service worker is told what to keep
_MODELS: Final = (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL)

# What a program has to do with a picture before it gives it to the photo model: nothing else is left to port.
_HOST: Final = {
    "longest_side": PHOTO_MAX_SIDE,
    "reduce": "average square blocks of a whole number of pixels, the smallest that brings the long side to the limit",
    "orientation": "upright, by the EXIF orientation",
    "transparency": "laid on white",
    "colour": "sRGB, bytes, R G B, row by row from the top",
    "dataset_images": "28x28 pictures without colour go to the classifier, negated if their edge is light on average",
}


def build_kit(
    web_runtime: WebRuntime | None = None, *, ort: bool = False, reduced_ops: bool = False
) -> dict[str, bytes]:
    """Return all files of a kit, path with forward slashes to content; the same arguments give the same bytes.

    `ort` adds the models in onnxruntime's own format (those bytes differ from run to run), `reduced_ops` the list of
    operators for a small build of onnxruntime. Raises ModelError if the shipped models or vectors are damaged.
    """
    files = dict(_example_files())
    files |= {path.name: path.read_bytes() for path in _shipped()}
    files[LABELS_FILE] = _json(list(LABELS))
    files[FACTS] = _json(_facts(web_runtime))
    files |= vector_files(*_MODELS)
    if ort:
        files |= {model.with_suffix(".ort").name: ort_file(model) for model in _MODELS}
    if reduced_ops:
        files[CONFIG] = operator_config(_MODELS)
    files |= {f"{WEB}/{name}": files[name] for name in _needed_by_the_page(files)}
    if web_runtime is not None:
        files |= {f"{WEB_RUNTIME}/{name}": content for name, content in web_runtime.files.items()}
    files[_SERVICE_WORKER] = _with_file_list(files)
    return files | {SUMS: sums_of(files)}


def _example_files() -> Iterator[tuple[str, bytes]]:
    for path in sorted(_EXAMPLES.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(_EXAMPLES).as_posix(), path.read_bytes()


def _shipped() -> list[Path]:
    """Return both models, their cards, and the dataset's licence."""
    return [*_MODELS, *(model.with_suffix(".md") for model in _MODELS), MODELS / "LICENSE-fashion-mnist.txt"]


def _facts(web_runtime: WebRuntime | None) -> dict[str, Any]:
    """Return model.json: what each file is, as the metadata inside it says; browsers cannot read those."""
    classifier, photo = (read_side_json(model) for model in _MODELS)
    return {
        "kit": SCHEMA,
        "made_by": f"fmnist-edge {__version__}",
        "host": _HOST,
        "web_runtime": None if web_runtime is None else f"{PACKAGE} {web_runtime.version}",
        "classifier": classifier,
        "photo": photo,
    }


def _needed_by_the_page(files: dict[str, bytes]) -> list[str]:
    """Return what the web folder holds a second time, since a page can reach nothing outside of it."""
    photos = [name for name in files if name.startswith(f"{FOLDER}/") and not name.endswith("images.u8")]
    return [EMBEDDED_PHOTO_MODEL.name, LABELS_FILE, FACTS, *photos]


def _with_file_list(files: dict[str, bytes]) -> bytes:
    """Return the service worker with the files to keep and their digests, in the form of the Web's `integrity`.

    So a new kit is a new service worker, and what a browser keeps for use without a network is what was deployed.
    """
    kept = {
        name.removeprefix(f"{WEB}/"): "sha256-" + base64.b64encode(hashlib.sha256(files[name]).digest()).decode()
        for name in sorted(files)
        if name.startswith(f"{WEB}/") and name != _SERVICE_WORKER
    }
    version = hashlib.sha256("".join(kept.values()).encode()).hexdigest()[:16]
    filled = json.dumps({"version": version, "files": kept}, indent=2).encode()
    template = files[_SERVICE_WORKER]
    assert template.count(_FILES_MARK) == 1
    return template.replace(_FILES_MARK, b"const KIT = " + filled + b";")


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
