"""Building the network of a .keras or .h5 file, and running it as at inference."""

from __future__ import annotations

import contextlib
import copy
import io
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from fmnist_convert.backend import keras, tf
from fmnist_convert.keras_config import Config, modernize
from fmnist_convert.validation import KerasFile
from fmnist_edge.errors import ModelError

# Of one image, in one layer. A network on 224x224 pixels with 64 channels has 3.2 million.
MAX_LAYER_VALUES: Final = 16 * 2**20
BATCH_VALUES: Final = 64 * 2**20  # of one batch, in the largest layer: 256 MB
LARGEST_BATCH: Final = 1000
_OLD_LAYERS: Final = "_layer_checkpoint_dependencies"


def build_network(path: Path, file: KerasFile) -> tuple[Any, list[str]]:
    """Return the Keras model of a validated file with its weights, and notes on what was changed.

    Raises ModelError if it is not a network of Keras's layers, was never built, or needs more weights than it has.
    """
    try:
        config, notes = modernize(file.config, file.version)
    except ModelError as error:
        raise ModelError(f"{path} can't be converted: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not a Keras model: its description can't be read ({error}); save or download it again"
        ) from error
    if not any(_input_layers(config)) and "build_input_shape" not in config["config"]:
        raise ModelError(
            f"{path} has never been built: it has no input shape and no weights. Begin the network with "
            "`keras.Input((28, 28))`, or fit it, and save it again"
        )
    with _quiet_keras(), _explained(path, file):
        _check_size(path, config, file.values)
        model = _deserialized(config)
        _load_weights(model, file.weights)
        _fix_normalization(model)
    return model, notes


def inference(model: Any, output: int) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Return a model in inference mode as a function from images in its own input form to one of its outputs.

    It runs in batches of 1 to LARGEST_BATCH images, so that the largest layer makes at most BATCH_VALUES numbers.
    """
    most = max((_values(one.shape) for one in _tensors(model)), default=1)
    size = max(1, min(LARGEST_BATCH, BATCH_VALUES // max(1, most)))

    @tf.function(reduce_retracing=True)
    def forward(batch: Any) -> Any:
        return keras.tree.flatten(model(batch, training=False))[output]

    def answer(batch: NDArray[Any]) -> NDArray[np.float32]:
        parts = [batch[at : at + size] for at in range(0, len(batch), size)]
        answers = [np.asarray(forward(tf.convert_to_tensor(part)), np.float32) for part in parts]
        return np.concatenate(answers).reshape(len(batch), -1)

    return answer


def _deserialized(config: Config) -> Any:
    return keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)  # it takes its argument apart


def _check_size(path: Path, config: Config, stored: int) -> None:
    """Build the network without allocating weights; raise ModelError if it needs more of them than the file has."""
    with keras.StatelessScope(initialize_variables=False):
        model = _deserialized(config)
    needed = sum(prod(weight.shape) for weight in model.weights)
    keras.utils.clear_session()
    if needed > stored:
        raise ModelError(
            f"{path} is damaged: its layers need {needed:,} weights, and it holds {stored:,}; save or download it again"
        )
    largest = max((_values(one.shape) for one in _tensors(model)), default=0)
    if largest > MAX_LAYER_VALUES:
        raise ModelError(f"{path} is not run: {too_large(largest)}")


def too_large(values: int) -> str:
    """Return what a layer is refused with that makes too many values of one image."""
    return f"one of its layers makes {values:,} values of one image, not at most {MAX_LAYER_VALUES:,}: make it smaller"


def _tensors(model: Any) -> Iterator[Any]:
    """Yield the symbolic outputs of all layers, including those of models inside."""
    for operation in getattr(model, "operations", getattr(model, "layers", [])):
        if hasattr(operation, "layers") and operation is not model:
            yield from _tensors(operation)
        for node in getattr(operation, "_inbound_nodes", []):
            yield from node.output_tensors


def _values(shape: Any) -> int:
    return prod(side or 1 for side in shape[1:])


def _load_weights(model: Any, weights: bytes) -> None:
    with h5py.File(io.BytesIO(weights), "r") as file:
        is_archive = "model_config" not in file.attrs
        if is_archive and any(_OLD_LAYERS in name or "\\" in name for name in file):
            weights = _renamed_weights(file)
    with tempfile.TemporaryDirectory(prefix="fmnist-convert-") as folder:
        path = Path(folder) / ("model.weights.h5" if is_archive else "model.h5")
        path.write_bytes(weights)
        model.load_weights(path)


def _fix_normalization(model: Any) -> None:
    """Make mean and variance plain numbers: tf2onnx loses them where they are tensors."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)


def _renamed_weights(file: Any) -> bytes:
    """Return the weights of a .keras file of Keras 2.12 or 2.13 under the names that Keras 3 looks for.

    Keras 2.13 named the group of layers otherwise and counted layers with weights twice (dense, dense_2, dense_4);
    on Windows, Keras 2.12 put backslashes into the names.
    """
    arrays: dict[tuple[str, ...], Any] = {}

    def keep(name: str, part: Any) -> None:
        if isinstance(part, h5py.Dataset):
            arrays[tuple(name.replace("\\", "/").split("/"))] = part

    file.visititems(keep)
    ranks = _ranks(arrays)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as renamed:
        for parts, array in arrays.items():
            if parts[0] not in ("optimizer", "metrics"):
                renamed["/".join(ranks[parts[: at + 1]] for at in range(len(parts)))] = array[()]
    return buffer.getvalue()


def _ranks(arrays: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return the new name of each group by its path: layers of a class are counted 0, 1, 2, ..."""
    groups = {parts[:depth] for parts in arrays for depth in range(1, len(parts) + 1)}
    names = {group: "layers" if group[-1] == _OLD_LAYERS else group[-1] for group in groups}
    counts: Counter[tuple[str, ...]] = Counter()
    for number, group, kind in sorted(
        (int(match[2] or 0), group, match[1])
        for group in groups
        if len(group) > 1 and group[-2] == _OLD_LAYERS and (match := re.fullmatch(r"(.*?)(?:_(\d+))?", group[-1]))
    ):
        del number
        rank = counts[*group[:-1], kind]
        counts[*group[:-1], kind] += 1
        names[group] = f"{kind}_{rank}" if rank else kind
    return names


def _input_layers(config: Config) -> Iterator[Config]:
    for layer in config["config"].get("layers", []):
        if layer["class_name"] == "InputLayer":
            yield layer
        yield from _input_layers(layer)


@contextlib.contextmanager
def _quiet_keras() -> Iterator[None]:
    """Silence Keras's warnings about older files: what matters becomes an error or a note."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _explained(path: Path, file: KerasFile) -> Iterator[None]:
    """Turn what Keras raises, which can be of many types, into one line."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path} can't be loaded by Keras {keras.__version__}: {cause_of(error)} (the file is of Keras "
            f"{file.version}). Load it where it was made, write a SavedModel (`model.export('folder')`, in Keras 2 "
            "`model.save('folder')`), and convert that folder"
        ) from error


def cause_of(error: BaseException) -> str:
    """Return the line of a Keras error that states the cause: the one after "Exception encountered"."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    for line in lines:
        _, found, cause = line.partition("Exception encountered:")
        if found and cause.strip():
            return cause.strip()
    return lines[0] if len(lines[0]) < 400 else lines[0][:400] + "..."
