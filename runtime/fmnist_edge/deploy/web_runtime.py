"""Finding the files of onnxruntime-web that the web page needs: a folder of npm's, never the network."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fmnist_edge.errors import UsageError

PACKAGE: Final = "onnxruntime-web"
# The build for wasm alone: the others add WebGPU or WebGL, which this model does not need, and up to 14 MB. In the kit
# the modules end in .js: not every web server knows .mjs, and browsers refuse a module of an unknown type.
FILES: Final = {
    "ort.wasm.min.mjs": "ort.wasm.min.js",
    "ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
# As for Python: older ones run the photo model's quantized convolutions as float.
OLDEST: Final = (1, 23)
HINT: Final = (
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
            wanted = f"dist/{next(iter(FILES))}"
            raise UsageError(f"{named} is no folder of the npm package {PACKAGE}: it should hold {wanted}")
        return _read(folder)
    for folder in filter(None, map(_package_in, _places())):
        with contextlib.suppress(UsageError):
            return _read(folder)
    return None


def _places() -> Iterator[Path]:
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
    return next((folder for folder in candidates if all((folder / "dist" / name).is_file() for name in FILES)), None)


def _read(folder: Path) -> WebRuntime:
    try:
        version = str(json.loads((folder / "package.json").read_bytes())["version"])
        files = {name: (folder / "dist" / original).read_bytes() for original, name in FILES.items()}
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
