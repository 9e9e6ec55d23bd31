"""The deploy kit: models, facts, self-test vectors, example programs and a web page, as path to content.

`build_kit` makes all of it in memory; `atomic_folder` writes it in one step; `kit_check` looks at it later. The files
that are copied as they are lie in kit/ beside this module.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fmnist_edge import __version__
from fmnist_edge.contract import LABELS, PHOTO_MAX_SIDE
from fmnist_edge.errors import UsageError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, MODELS, read_side_json
from fmnist_edge.onnx_reader import operators_of
from fmnist_edge.self_test import (
    ClassifierVectors,
    PhotoVectors,
    Vectors,
    expected_probabilities,
    load_vectors,
    square_images,
)
from fmnist_edge.session import session_options

FACTS: Final = "model.json"
SUMS: Final = "SHA256SUMS"
VECTORS: Final = "vectors"
VECTORS_FILE: Final = f"{VECTORS}/vectors.json"
OPERATORS: Final = "required_operators.config"
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
        files[OPERATORS] = operator_config(_MODELS)
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
    photos = [name for name in files if name.startswith(f"{VECTORS}/") and not name.endswith("images.u8")]
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


_IMAGES: Final = "images.u8"
_DRAWINGS: Final = "drawings.u8"


def vector_files(classifier: Path, photo_model: Path) -> dict[str, bytes]:
    """Return the vector files of a kit, path to content, made from the vectors beside two model files.

    Raises ModelError if those are missing or damaged.
    """
    images, photos = load_vectors(classifier), load_vectors(photo_model)
    assert isinstance(images, ClassifierVectors)
    assert isinstance(photos, PhotoVectors)
    index = {
        "schema": 1,
        "note": "all pixels are bytes, row by row from the top; compare with the tolerances stated",
        "classifier": _classifier_facts(classifier.name, images),
        "photo": _photo_facts(photo_model.name, photos),
    }
    raw = {_photo_name(number): photo.tobytes() for number, photo in enumerate(photos.photos)}
    raw |= {_IMAGES: images.images.tobytes(), _DRAWINGS: photos.images.tobytes()}
    return {VECTORS_FILE: (json.dumps(index, indent=1) + "\n").encode()} | {
        f"{VECTORS}/{name}": raw[name] for name in raw
    }


def read_kit_vectors(folder: Path) -> tuple[ClassifierVectors, PhotoVectors]:
    """Return the vectors of the kit in `folder`. Raises OSError, or ValueError, KeyError, TypeError if damaged."""
    index = json.loads((folder / VECTORS_FILE).read_bytes())
    classifier, photo = index["classifier"], index["photo"]
    images = (folder / VECTORS / classifier["images"]).read_bytes()
    drawings = (folder / VECTORS / photo["drawings"]).read_bytes()
    return (
        ClassifierVectors(
            classifier["sha256"],
            float(classifier["tolerance"]),
            square_images(images, len(classifier["answers"])),
            expected_probabilities(classifier["answers"]),
        ),
        PhotoVectors(
            photo["sha256"],
            float(photo["tolerance"]),
            int(photo["drawing_tolerance"]["levels"]),
            float(photo["drawing_tolerance"]["share"]),
            tuple(_read_photo(folder / VECTORS, entry) for entry in photo["answers"]),
            square_images(drawings, len(photo["answers"])),
            expected_probabilities(photo["answers"]),
        ),
    )


def _read_photo(folder: Path, entry: dict[str, Any]) -> NDArray[np.uint8]:
    return np.frombuffer((folder / entry["file"]).read_bytes(), np.uint8).reshape(entry["shape"])


def _photo_name(number: int) -> str:
    return f"photo-{number}.rgb"


def _classifier_facts(model: str, vectors: ClassifierVectors) -> dict[str, Any]:
    return {
        **_general_facts(model, vectors),
        "images": _IMAGES,
        "shape": list(vectors.images.shape),
        "answers": _answers(vectors),
    }


def _photo_facts(model: str, vectors: PhotoVectors) -> dict[str, Any]:
    places = [{"file": _photo_name(number), "shape": list(photo.shape)} for number, photo in enumerate(vectors.photos)]
    return {
        **_general_facts(model, vectors),
        "drawing_tolerance": {"levels": vectors.levels, "share": vectors.share},
        "drawings": _DRAWINGS,
        "shape": list(vectors.images.shape),
        "answers": [place | answer for place, answer in zip(places, _answers(vectors), strict=True)],
    }


def _general_facts(model: str, vectors: Vectors) -> dict[str, Any]:
    return {"model": model, "sha256": vectors.model_sha256, "tolerance": vectors.tolerance}


def _answers(vectors: Vectors) -> list[dict[str, Any]]:
    return [
        {"label": LABELS[int(row.argmax())], "probabilities": [float(value) for value in row]}
        for row in vectors.probabilities
    ]


_SUM_LINE: Final = re.compile(r"([0-9a-f]{64})  (\S.*)")


def sums_of(files: dict[str, bytes]) -> bytes:
    """Return the content of SHA256SUMS for some files, path to content, sorted by path."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode()


def parse_sums(content: bytes) -> dict[str, str]:
    """Return path to SHA-256. Raises ValueError on anything but such lines, or on a path that leads elsewhere."""
    sums = {}
    for line in content.decode("utf-8").splitlines():
        match = _SUM_LINE.fullmatch(line)
        if match is None or not _stays_inside(match[2]):
            raise ValueError(f"{SUMS} has the line {line[:100]!r}")
        sums[match[2]] = match[1]
    return sums


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name


PACKAGE: Final = "onnxruntime-web"
# The build for wasm alone: the others add WebGPU or WebGL, which this model does not need, and up to 14 MB. In the kit
# the modules end in .js: not every web server knows .mjs, and browsers refuse a module of an unknown type.
WEB_FILES: Final = {
    "ort.wasm.min.mjs": "ort.wasm.min.js",
    "ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
# As for Python: older ones run the photo model's quantized convolutions as float.
OLDEST: Final = (1, 23)
WEB_HINT: Final = (
    "the web page lacks its runtime: run `npm install onnxruntime-web`, then deploy again (or name the package's "
    "folder with --web-runtime)"
)


@dataclass(frozen=True)
class WebRuntime:
    """The files of one version of onnxruntime-web."""

    version: str
    files: dict[str, bytes]
    """File name in the kit to content."""


def find_web_runtime(named: Path | None) -> WebRuntime | None:
    """Return the runtime in the folder named, else in a `node_modules` above the current folder, else in npm's own.

    None if nothing is named and none found that is new enough. Raises UsageError if the folder named holds none such.
    """
    if named is not None:
        folder = _package_in(named)
        if folder is None:
            wanted = f"dist/{next(iter(WEB_FILES))}"
            raise UsageError(f"{named} is no folder of the npm package {PACKAGE}: it should hold {wanted}")
        return _read_runtime(folder)
    for folder in filter(None, map(_package_in, _runtime_places())):
        with contextlib.suppress(UsageError):
            return _read_runtime(folder)
    return None


def _runtime_places() -> Iterator[Path]:
    here = Path.cwd()
    yield from (folder / "node_modules" for folder in (here, *here.parents))
    npm = shutil.which("npm")
    if npm is not None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # a broken npm is as good as none
            # `npm root` only prints a path: it opens no connection.
            command = [npm, "root", "--global"]
            yield Path(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip())


def _package_in(place: Path) -> Path | None:
    """Return the package's own folder, given it, its `dist`, or a `node_modules` (or project) that holds it."""
    candidates = (place, place.parent, place / PACKAGE, place / "node_modules" / PACKAGE)
    return next(
        (folder for folder in candidates if all((folder / "dist" / name).is_file() for name in WEB_FILES)), None
    )


def _read_runtime(folder: Path) -> WebRuntime:
    try:
        version = str(json.loads((folder / "package.json").read_bytes())["version"])
        files = {name: (folder / "dist" / original).read_bytes() for original, name in WEB_FILES.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"cannot read {PACKAGE} in {folder} ({error}); install it anew") from error
    if _numbers(version) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise UsageError(f"{folder} is {PACKAGE} {version}, which draws photos otherwise; {wanted} or newer is needed")
    return WebRuntime(version, files)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version; of what is none, nothing, which is older than any."""
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


_EXTENDED: Final = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
_ALL: Final = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
# Lays float tensors out for the x86 CPU at hand; onnxruntime's own convert_onnx_models_to_ort leaves it out, too.
_OF_ONE_CPU: Final = ["NchwcTransformer"]


def ort_file(model: Path) -> bytes:
    """Return an .onnx model in ORT format, optimized as far as is the same on every CPU ('extended').

    The bytes differ from run to run, the answers do not.
    """
    return _saved(model, ".ort", "ORT", _EXTENDED)


def optimized_graphs(model: Path) -> list[bytes]:
    """Return the graph that 'extended' optimization makes, and the one of the default level, as .onnx files."""
    return [_saved(model, ".onnx", "ONNX", level) for level in (_EXTENDED, _ALL)]


def _saved(model: Path, suffix: str, form: str, level: Any) -> bytes:
    options = session_options()
    options.graph_optimization_level = level
    options.add_session_config_entry("session.save_model_format", form)
    providers = ["CPUExecutionProvider"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"optimized{suffix}"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(str(model), options, providers, disabled_optimizers=_OF_ONE_CPU)
        return path.read_bytes()


_HEAD: Final = """\
# For onnxruntime's build script: build.sh --include_ops_by_config required_operators.config ...
# The form is described at onnxruntime.ai, "Reduced operator config file": domain;opset;operators.
# First the operators of {files}, as recorded in their metadata;
# then those that onnxruntime puts in their place when it optimizes the graphs (also in the .ort files).
"""


def operator_config(models: Iterable[Path]) -> bytes:
    """Return the config for a runtime that runs these .onnx files, and their .ort forms.

    Raises ModelError if a model or the JSON beside it is damaged.
    """
    models = list(models)
    needed: dict[tuple[str, int], set[str]] = defaultdict(set)
    for domain, version, name in (operator for model in models for operator in (*_recorded(model), *_made(model))):
        needed[domain, version].add(name)
    lines = [f"{domain};{version};{','.join(sorted(names))}\n" for (domain, version), names in sorted(needed.items())]
    return (_HEAD.format(files=" and ".join(model.name for model in models)) + "".join(lines)).encode()


def _recorded(model: Path) -> Iterator[tuple[str, int, str]]:
    facts = read_side_json(model)
    for name in facts["operators"]:
        yield "ai.onnx", int(facts["opset"]), name


def _made(model: Path) -> Iterator[tuple[str, int, str]]:
    for graph in optimized_graphs(model):
        yield from operators_of(graph)
