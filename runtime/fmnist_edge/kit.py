"""The deploy kit: models, their description, self-test vectors, example programs and a web page.

`build_kit` makes all of it in memory as path to content; `atomic` writes it in one step; `kit_check` checks it later.
The files that are copied as they are come from kit_files/.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from fmnist_edge import __version__
from fmnist_edge.errors import ModelError, UsageError
from fmnist_edge.model_info import (
    EMBEDDED_CLASSIFIER,
    EMBEDDED_PHOTO_MODEL,
    INPUT_NAME,
    LABELS,
    MODELS,
    OUTPUT_NAME,
    PHOTO_NAME,
    read_side_json,
    sha256_of,
    side_json_path,
    vectors_path,
)
from fmnist_edge.onnx_reader import operators_of
from fmnist_edge.self_test import ClassifierVectors, PhotoVectors, Vectors, load_vectors
from fmnist_edge.session import kind_of, metadata_of, open_session, session_options

DESCRIPTION: Final = "model.json"
SUMS: Final = "SHA256SUMS"
VECTORS: Final = "vectors"
VECTORS_FILE: Final = f"{VECTORS}/vectors.json"
OPERATORS: Final = "required_operators.config"
LABELS_FILE: Final = "labels.json"
WEB: Final = "web"
WEB_RUNTIME: Final = f"{WEB}/ort"
PACKAGE: Final = "onnxruntime-web"
# The build for wasm alone: the others add WebGPU or WebGL, which this model does not need, and up to 14 MB. In the kit
# the modules end in .js: not every web server knows .mjs, and browsers refuse a module of an unknown type.
WEB_FILES: Final = {
    "ort.wasm.min.mjs": "ort.wasm.min.js",
    "ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
OLDEST: Final = (1, 19)  # of onnxruntime-web: the first with files of these names
WEB_HINT: Final = (
    "the web page lacks its runtime: run `npm install onnxruntime-web`, then deploy again (or name the package's "
    "folder with --web-runtime)"
)
SCHEMA: Final = 2  # of model.json; raised when a key changes its meaning
_COPIED: Final = Path(__file__).parent / "kit_files"
_SERVICE_WORKER: Final = f"{WEB}/service-worker.js"
_FILES_MARK: Final = b'const KIT = { version: "", files: {} };'  # where the service worker is told what to keep
_LICENCE: Final = "LICENSE-fashion-mnist.txt"
_IMAGES: Final = "images.u8"

# What a program does to a picture before it gives it to the photo model: nothing else is left to port.
_HOST: Final = {
    "long_side": [128, 512],
    "reduce": "reduce larger pictures to a long side in this range with any averaging filter, for example by the "
    "largest whole factor that leaves 128 pixels; smaller ones stay as they are",
    "orientation": "upright, by the EXIF orientation",
    "transparency": "laid on white",
    "colour": "sRGB, bytes, R G B, row by row from the top",
    "dataset_images": "pictures of 28x28 pixels go to the classifier: in grey (ITU-R BT.601), transparency laid on "
    "black, negated if the outermost pixels are light on average",
}


@dataclass(frozen=True)
class KitModel:
    """A model file, and what its kit says of it."""

    path: Path
    name: str
    """Of the file in the kit: letters, digits, dots, dashes and underscores, since it is part of a URL."""
    description: dict[str, Any]
    vectors: Vectors


@dataclass(frozen=True)
class WebRuntime:
    """The files of one version of onnxruntime-web."""

    version: str
    files: dict[str, bytes]
    """File name in the kit to content."""


def build_kit(
    web_runtime: WebRuntime | None = None,
    models: Sequence[Path] = (),
    *,
    ort: bool = False,
    reduced_ops: bool = False,
    step: Callable[[str], None] = lambda _: None,
) -> dict[str, bytes]:
    """Return all files of a kit, path with forward slashes to content; the same arguments give the same bytes.

    Each of `models` replaces the embedded model of its kind. `ort` adds the models in onnxruntime's own format (those
    bytes differ from run to run), `reduced_ops` the list of operators for a small build of onnxruntime. `step` is told
    what is done next. Raises ModelError if a model, its JSON or its vectors are damaged; UsageError if two of `models`
    are of one kind.
    """
    step("reading the models")
    classifier, photo = chosen = _chosen(models)
    copied = [path for path in sorted(_COPIED.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    files = {path.relative_to(_COPIED).as_posix(): path.read_bytes() for path in copied}
    files |= {model.name: model.path.read_bytes() for model in chosen}
    cards = {f"{Path(model.name).stem}.md": model.path.with_suffix(".md") for model in chosen}
    files |= {name: card.read_bytes() for name, card in cards.items() if card.is_file()}
    files[_LICENCE] = (MODELS / _LICENCE).read_bytes()
    files[LABELS_FILE] = _json(list(LABELS))
    files[DESCRIPTION] = _json(_description(classifier, photo, web_runtime))
    files |= _vector_files(classifier, photo)
    if ort:
        step("writing the models in onnxruntime's own format")
        files |= {f"{Path(model.name).stem}.ort": ort_file(model.path) for model in chosen}
    if reduced_ops:
        step("listing the operators")
        files[OPERATORS] = operator_config([model.path for model in chosen])
    # The web folder holds a second time what the page needs: it can reach nothing outside of it.
    vectors = [name for name in files if name.startswith(f"{VECTORS}/")]
    needed = [*(model.name for model in chosen), LABELS_FILE, DESCRIPTION, *vectors]
    files |= {f"{WEB}/{name}": files[name] for name in needed}
    if web_runtime is not None:
        files |= {f"{WEB_RUNTIME}/{name}": content for name, content in web_runtime.files.items()}
    step("computing the digests")
    files[_SERVICE_WORKER] = _with_file_list(files)
    return files | {SUMS: sums_of(files)}


def _chosen(models: Sequence[Path]) -> tuple[KitModel, KitModel]:
    """Return the classifier and the photo model: those given, the embedded ones for the rest."""
    found: dict[str, KitModel] = {}
    for path in models:
        model = _users_model(path)
        kind = "photo" if isinstance(model.vectors, PhotoVectors) else "classifier"
        if kind in found:
            raise UsageError(f"{found[kind].path} and {path} are both a {kind}; a kit holds one of each kind")
        found[kind] = model
    for kind, path in (("classifier", EMBEDDED_CLASSIFIER), ("photo", EMBEDDED_PHOTO_MODEL)):
        if kind not in found:
            found[kind] = KitModel(path, path.name, read_side_json(path), load_vectors(path))
    if found["classifier"].name == found["photo"].name:
        raise UsageError(f"both models would be named {found['photo'].name} in the kit; rename one of them")
    return found["classifier"], found["photo"]


def _users_model(path: Path) -> KitModel:
    """Return a model that did not come with the package, described by the JSON beside it or else by its metadata."""
    session = open_session(path)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", path.stem) + ".onnx"
    digest = sha256_of(path)
    told = read_side_json(path) if side_json_path(path).is_file() else metadata_of(session)
    description = {"name": path.stem, "version": "", "unsure_below": 0.0} | told | {"file": name, "sha256": digest}
    if not vectors_path(path).is_file():
        return KitModel(path, name, description, _measured_vectors(session, digest))
    vectors = load_vectors(path)
    if vectors.model_sha256 != digest:
        raise ModelError(f"{vectors_path(path)} was made for another file than {path}; convert again, or move it away")
    return KitModel(path, name, description, vectors)


def _measured_vectors(session: Any, digest: str) -> Vectors:
    """Return the embedded model's test pictures with the answers that this model gives to them here."""
    vectors = load_vectors(EMBEDDED_PHOTO_MODEL if kind_of(session) == "photo" else EMBEDDED_CLASSIFIER)
    if isinstance(vectors, PhotoVectors):
        rows = [session.run([OUTPUT_NAME], {PHOTO_NAME: photo})[0][0] for photo in vectors.photos]
    else:
        rows = [session.run([OUTPUT_NAME], {INPUT_NAME: image[None]})[0][0] for image in vectors.images]
    return replace(vectors, model_sha256=digest, probabilities=np.array(rows, np.float64))


def _description(classifier: KitModel, photo: KitModel, web_runtime: WebRuntime | None) -> dict[str, Any]:
    """Return model.json: what each file is, as the metadata inside it says; browsers cannot read those."""
    return {
        "kit": SCHEMA,
        "made_by": f"fmnist-edge {__version__}",
        "host": _HOST,
        "web_runtime": None if web_runtime is None else f"{PACKAGE} {web_runtime.version}",
        "classifier": classifier.description,
        "photo": photo.description,
    }


def _vector_files(classifier: KitModel, photo: KitModel) -> dict[str, bytes]:
    """Return the self-test vectors as one JSON file, and raw bytes that any language can read."""
    images, photos = classifier.vectors, photo.vectors
    assert isinstance(images, ClassifierVectors)
    assert isinstance(photos, PhotoVectors)
    raw = {f"photo-{number}.rgb": pixels for number, pixels in enumerate(photos.photos)}
    places = [{"file": name, "shape": list(pixels.shape)} for name, pixels in raw.items()]
    answers = [place | answer for place, answer in zip(places, _answers(photos), strict=True)]
    of_images = {"images": _IMAGES, "shape": list(images.images.shape), "answers": _answers(images)}
    index = {
        "schema": SCHEMA,
        "note": "all pixels are bytes, row by row from the top; compare probabilities with the tolerance stated",
        "classifier": _origin(classifier) | of_images,
        "photo": _origin(photo) | {"answers": answers},
    }
    files = {f"{VECTORS}/{name}": pixels.tobytes() for name, pixels in (raw | {_IMAGES: images.images}).items()}
    return {VECTORS_FILE: _json(index)} | files


def _origin(model: KitModel) -> dict[str, Any]:
    return {"model": model.name, "sha256": model.vectors.model_sha256, "tolerance": model.vectors.tolerance}


def _answers(vectors: Vectors) -> list[dict[str, Any]]:
    return [
        {"label": LABELS[int(row.argmax())], "probabilities": [float(value) for value in row]}
        for row in vectors.probabilities
    ]


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


def sums_of(files: dict[str, bytes]) -> bytes:
    """Return the content of SHA256SUMS for some files, path to content, sorted by path."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode()


def find_web_runtime(named: Path | None) -> WebRuntime | None:
    """Return the runtime in the folder named, else in a `node_modules` above the current folder, else in npm's own.

    None if nothing is named and none found that is new enough. Raises UsageError if the folder named isn't the package,
    or is too old.
    """
    if named is not None:
        folder = _package_in(named)
        if folder is None:
            wanted = f"dist/{next(iter(WEB_FILES))}"
            raise UsageError(f"{named} is not a folder of the npm package {PACKAGE}: it should hold {wanted}")
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
        raise UsageError(
            f"{folder} is {PACKAGE} {version}, which lacks what the page needs; {wanted} or newer is needed"
        )
    return WebRuntime(version, files)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version; of what is none, nothing, which is older than any."""
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


_EXTENDED: Final = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
_ALL: Final = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
# Lays float tensors out for the x86 CPU at hand; onnxruntime's own convert_onnx_models_to_ort also leaves it out.
_OF_ONE_CPU: Final = ["NchwcTransformer"]


def ort_file(model: Path) -> bytes:
    """Return an .onnx model in ORT format, optimized as far as is the same on every CPU ('extended').

    The bytes differ from run to run, the answers do not.
    """
    return _saved(model, ".ort", "ORT", _EXTENDED)


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
# The operators of {files}, and those that onnxruntime puts in their place when it optimizes
# the graphs (also in the .ort files).
"""


def operator_config(models: Iterable[Path]) -> bytes:
    """Return the config for a runtime that runs these .onnx files, and their .ort forms.

    Raises ModelError if a model or the JSON beside it is damaged.
    """
    models = list(models)
    needed: dict[tuple[str, int], set[str]] = defaultdict(set)
    for model in models:
        optimized = (_saved(model, ".onnx", "ONNX", level) for level in (_EXTENDED, _ALL))
        for graph in (model.read_bytes(), *optimized):
            for domain, version, name in operators_of(graph):
                needed[domain, version].add(name)
    lines = [f"{domain};{version};{','.join(sorted(names))}\n" for (domain, version), names in sorted(needed.items())]
    return (_HEAD.format(files=" and ".join(model.name for model in models)) + "".join(lines)).encode()
