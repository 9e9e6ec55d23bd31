"""What `--version` prints; imports neither numpy nor onnxruntime, so it answers at once."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, read_side_json, sha256_of
from fmnist_edge.version import __version__


def version_line() -> str:
    """Return package, model name, model SHA-256 (12 digits) and onnxruntime version."""
    model = read_side_json(EMBEDDED_CLASSIFIER)
    digest = sha256_of(EMBEDDED_CLASSIFIER)[:12]
    try:
        runtime = version("onnxruntime")
    except PackageNotFoundError:
        runtime = "not installed"
    return (
        f"fmnist-edge {__version__} (model {model['name']} {model['version']}, sha256 {digest}; onnxruntime {runtime})"
    )
