"""What `--version` prints; imports neither numpy nor onnxruntime, so it answers at once."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fmnist_edge import __version__
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, read_side_json, sha256_of


def version_line() -> str:
    """Return package, names, versions and SHA-256 (12 digits) of both models, and onnxruntime's version."""
    try:
        runtime = version("onnxruntime")
    except PackageNotFoundError:
        runtime = "not installed"
    models = "; ".join(_named(model) for model in (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL))
    return f"fmnist-edge {__version__} ({models}; onnxruntime {runtime})"


def _named(model: Path) -> str:
    facts = read_side_json(model)
    return f"model {facts['name']} {facts['version']}, sha256 {sha256_of(model)[:12]}"
