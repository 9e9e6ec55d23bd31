"""Building the network of a .keras or .h5 file, and running it as at inference."""

from __future__ import annotations

import contextlib
import copy
import tempfile
import warnings
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.backend import keras
from fmnist_convert.keras_config import Config, modernize
from fmnist_convert.validation import KerasFile
from fmnist_edge.errors import ModelError

# Of one image, in one layer. A network on 224x224 pixels with 64 channels has 3.2 million.
MAX_LAYER_VALUES: Final = 16 * 2**20
BATCH_VALUES: Final = 64 * 2**20  # of one batch, in the largest layer: 256 MB
LARGEST_BATCH: Final = 1000


def build_network(path: Path, file: KerasFile) -> tuple[Any, list[str]]:
    """Return the Keras model of a validated file with its weights, and notes on what was changed.

    Raises ModelError: no network of Keras's layers, never built, larger than its weights, or not to be built.
    """
    try:
        modern = modernize(file.config, file.version)
    except ModelError as error:
        raise ModelError(f"{path} can't be converted: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not a Keras model: its description cannot be read ({error})") from error
    if not any(_input_layers(modern.config)) and "build_input_shape" not in modern.config["config"]:
        raise ModelError(
            f"{path} has never been built: it has no input shape and no weights. Begin the network with "
            "`keras.Input((28, 28))`, or fit it, and save it again"
        )
    with _quiet_keras(), _explained(path, file):
        _check_size(path, modern.config, file.values)
        model = _deserialized(modern.config)
        _load_weights(model, file.weights, is_archive="model_config" not in _attributes(file.weights))
    return model, modern.notes


def largest_batch(model: Any) -> int:
    """Return how many images fit into a batch of BATCH_VALUES, 1..LARGEST_BATCH."""
    most = max((_values(one.shape) for one in _tensors(model)), default=1)
    return max(1, min(LARGEST_BATCH, BATCH_VALUES // max(1, most)))


def run_keras(model: Any, output: int, batch: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Return one output of a model in inference mode, float32 [n, ...], for a batch in the model's own input form."""
    parts = []
    for at in range(0, len(batch), size):
        answers = model(batch[at : at + size], training=False)
        parts.append(np.asarray(keras.tree.flatten(answers)[output], np.float32))
    return np.concatenate(parts)


def _deserialized(config: Config) -> Any:
    return keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)  # it takes its argument apart


def _check_size(path: Path, config: Config, stored: int) -> None:
    """Build the network without allocating its weights: raise ModelError if it needs more of them than the file has."""
    with keras.StatelessScope(initialize_variables=False):
        model = _deserialized(config)
    needed = sum(prod(weight.shape) for weight in model.weights)
    keras.utils.clear_session()
    if needed > stored:
        raise ModelError(f"{path} is damaged: its layers need {needed:,} weights, and it holds {stored:,}")
    largest = max((_values(one.shape) for one in _tensors(model)), default=0)
    if largest > MAX_LAYER_VALUES:
        raise ModelError(f"{path} is not run: one of its layers makes {largest:,} values of one image")


def _tensors(model: Any) -> Iterator[Any]:
    """Yield the symbolic outputs of all layers, also of the models inside."""
    for operation in getattr(model, "operations", getattr(model, "layers", [])):
        if hasattr(operation, "layers") and operation is not model:
            yield from _tensors(operation)
        for node in getattr(operation, "_inbound_nodes", []):
            yield from node.output_tensors


def _values(shape: Any) -> int:
    return prod(side or 1 for side in shape[1:])


def _load_weights(model: Any, weights: bytes, *, is_archive: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="fmnist-convert-") as folder:
        path = Path(folder) / ("model.weights.h5" if is_archive else "model.h5")
        path.write_bytes(weights)
        model.load_weights(path)


def _attributes(weights: bytes) -> list[str]:
    import io

    import h5py

    with h5py.File(io.BytesIO(weights), "r") as file:
        return list(file.attrs)


def _input_layers(config: Config) -> Iterator[Config]:
    for layer in config["config"].get("layers", []):
        if layer["class_name"] == "InputLayer":
            yield layer
        yield from _input_layers(layer)


@contextlib.contextmanager
def _quiet_keras() -> Iterator[None]:
    """Keep Keras's warnings about older files away from people: what matters becomes an error or a note."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _explained(path: Path, file: KerasFile) -> Iterator[None]:
    """Turn what Keras raises into one line: Keras raises many types, depending on where the file is damaged."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path} can't be loaded by Keras {keras.__version__}: {cause_of(error)} (the file is of Keras "
            f"{file.version}). Load it where it was made, call `model.export('folder')`, and convert that folder"
        ) from error


def cause_of(error: BaseException) -> str:
    """Return the line of a Keras error that tells the cause: the one behind "Exception encountered"."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    for line in lines:
        _, found, cause = line.partition("Exception encountered:")
        if found and cause.strip():
            return cause.strip()
    return lines[0] if len(lines[0]) < 400 else lines[0][:400] + "..."
