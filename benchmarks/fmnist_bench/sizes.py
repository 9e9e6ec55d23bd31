"""How large things are: model files, the wheel, and what an installation takes on the disk."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fmnist_bench.bench_report import Size
from fmnist_bench.contenders.registry import FP32, INT8, LITERT_FP32, LITERT_INT8, ORIGINAL
from fmnist_edge.model_info import EMBEDDED_PHOTO_MODEL

_FILES: Final = {
    INT8: "fmnist-mlp.int8.onnx, shipped",
    FP32: "the same, fp32",
    LITERT_INT8: "LiteRT int8",
    LITERT_FP32: "LiteRT fp32",
    ORIGINAL: "the Keras original",
}
_ENVIRONMENTS: Final = {
    "fmnist-edge": "fmnist-edge",
    "ai-edge-litert": "LiteRT",
    "openvino": "OpenVINO",
    "tensorflow": "TensorFlow with Keras",
}


def measure_sizes(models: Path) -> list[Size]:
    """Return the sizes of what is here."""
    sizes = [Size(title, (models / name).stat().st_size) for name, title in _FILES.items() if (models / name).is_file()]
    sizes.append(Size("fmnist-photo.int8.onnx, shipped", EMBEDDED_PHOTO_MODEL.stat().st_size))
    wheel = wheel_bytes()
    if wheel is not None:
        sizes.append(Size("the wheel", wheel, "with both models"))
    for name, title in _ENVIRONMENTS.items():
        packages = closure(name)
        if packages:
            note = f"{len(packages)} packages, as installed here, without Python"
            sizes.append(Size(f"environment of {title}", sum(map(_installed_bytes, packages)), note))
    return sizes


def closure(name: str) -> list[Distribution]:
    """Return an installed distribution and all that it requires here; empty if it is not installed."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        one = _normalized(waiting.pop())
        if one in found:
            continue
        try:
            found[one] = distribution(one)
        except PackageNotFoundError:
            continue
        waiting += _required(found[one].requires or ())
    return [found[one] for one in sorted(found)]


def _required(requirements: Iterable[str]) -> list[str]:
    """Return the names of requirements that hold here; those of extras do not."""
    from packaging.requirements import Requirement

    parsed = [Requirement(text) for text in requirements]
    return [one.name for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed_bytes(package: Distribution) -> int:
    """Sum the files that pip recorded, the compiled ones among them; of an editable install, its folders instead."""
    paths = [Path(str(package.locate_file(file))) for file in package.files or ()]
    links = [path for path in paths if path.suffix == ".pth" and path.is_file()]
    if links and package.metadata["Name"] == "fmnist-edge":
        import fmnist_edge

        paths += [path for path in Path(fmnist_edge.__file__).parent.rglob("*") if "__pycache__" not in path.parts]
    return sum(path.stat().st_size for path in paths if path.is_file())


def wheel_bytes() -> int | None:
    """Build the wheel of the checkout that this module lies in; None without one, or without its build backend."""
    checkout = Path(__file__).parents[2]
    if not (checkout / "pyproject.toml").is_file() or find_spec("hatchling") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
        subprocess.run([*command, str(checkout)], check=True, capture_output=True)
        return next(Path(folder).glob("*.whl")).stat().st_size
