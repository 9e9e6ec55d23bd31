"""What a model file is: its contract, the shipped files, and the metadata in and beside a file.

Training builds to the contract, conversion writes it into the file, the runtime refuses a file that breaks it.
Imports no numpy and no onnxruntime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fmnist_edge.errors import ModelError

# The ten classes, in the order of the dataset's label numbers (Xiao, Rasul, Vollgraf 2017, table 2).
LABELS: Final = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
UNSURE: Final = "unsure"  # the label when the confidence is below the threshold
OUTPUT_NAME: Final = "probabilities"  # float32 [batch, 10], each row sums to 1

# The dataset classifier: `image` uint8 [batch, 28, 28], 0 the black background, 255 the brightest garment.
INPUT_NAME: Final = "image"
BATCH_DIMENSION: Final = "batch"
IMAGE_SIDE: Final = 28

# The photo model: `photo` uint8 [height, width, 3] RGB of any size; a second output `saw`, float32 [rows, columns], the
# class activation map of the best class, 0..1, over the whole photo.
PHOTO_NAME: Final = "photo"
SAW_NAME: Final = "saw"
LEAST_SIDE: Final = 128  # pixels on the long side, 512 at most, to which hosts reduce larger photos by any averaging

MODELS: Final = Path(__file__).parent / "models"
EMBEDDED_CLASSIFIER: Final = MODELS / "fmnist-mlp.int8.onnx"
EMBEDDED_PHOTO_MODEL: Final = MODELS / "fmnist-photo.int8.onnx"


def read_model(path: Path) -> bytes:
    """Return the bytes of a model file. Raises ModelError if it cannot be read."""
    try:
        return _content(path)
    except OSError as error:
        raise ModelError(f"cannot read model {path}: {error.strerror or error}") from error


def _content(path: Path) -> bytes:
    """Return the bytes of a file, also of one of this package's own where it is imported from inside a zip."""
    if path.parent == MODELS and not MODELS.is_dir():
        content: bytes = __spec__.loader.get_data(str(path))  # type: ignore[union-attr]
        return content
    return path.read_bytes()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits. Raises ModelError if it cannot be read."""
    import hashlib  # not above: it would cost every start three milliseconds

    return hashlib.sha256(read_model(path)).hexdigest()


def side_json_path(model: Path) -> Path:
    """Return the path of the JSON beside a model file (browsers cannot read the metadata inside)."""
    return model.with_suffix(".json")


def vectors_path(model: Path) -> Path:
    """Return the path of a model file's self-test vectors."""
    return model.with_suffix(".vectors.json")


def read_side_json(model: Path) -> dict[str, Any]:
    """Return the JSON beside a model file. Raises ModelError if it is missing or damaged."""
    return _read_json(side_json_path(model), "description")


def read_vectors(model: Path) -> dict[str, Any]:
    """Return a model file's self-test vectors. Raises ModelError if they are missing or damaged."""
    return _read_json(vectors_path(model), "self-test vectors")


def _read_json(path: Path, what: str) -> dict[str, Any]:
    import json  # not above: --help does without

    try:
        content = json.loads(_content(path))
    except OSError as error:
        raise ModelError(f"the {what} {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelError(f"the {what} {path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"the {what} {path} should hold one JSON object")
    return content


def decode_metadata(metadata: dict[str, str]) -> dict[str, Any]:
    """Decode a model's metadata_props: values are JSON where they parse as JSON, else plain text."""
    return {key: _decoded(value) for key, value in metadata.items()}


def _decoded(value: str) -> Any:
    import json

    try:
        return json.loads(value)
    except (ValueError, RecursionError):  # RecursionError: brackets within brackets
        return value
