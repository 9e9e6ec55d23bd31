"""The description of a network inside a .keras or .h5 file, validated and rewritten for the installed Keras.

Keras's own reading of a description can name any function of Keras and, in several versions, of any module
(CVE-2025-1550, CVE-2025-8747, CVE-2025-9906), and it fails on keys that a later version dropped. So the description is
rewritten here: only Keras's layers and mathematical operations come through, each with the keys that the installed
version knows. What only training needs (initializers, regularizers, constraints, compile settings, random augmentation)
is left out.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection
from functools import cache
from typing import Any, Final

from fmnist_convert.backend import keras
from fmnist_edge.errors import ModelError

Config = dict[str, Any]

_MODELS: Final = ("Sequential", "Functional", "Model")
# Layers that run code, read files or load other models by path.
_REFUSED: Final = frozenset(
    {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "StringLookup", "IntegerLookup"}
    | {"TextVectorization", "Hashing", "HashedCrossing", "FeatureSpace", "MelSpectrogram", "STFTSpectrogram"}
)
_OPERATIONS: Final = ("keras.src.ops.numpy", "keras.src.ops.nn", "keras.src.ops.image")
_RENAMED_CLASSES: Final = {
    "SyncBatchNormalization": "BatchNormalization",
    "BatchNormalizationV1": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
}
_AUGMENTATIONS: Final = frozenset({"MixUp", "CutMix", "RandAugment", "AugMix"})
_NOT_AUGMENTATIONS: Final = frozenset({"RandomCrop", "RandomFourierFeatures"})  # not the identity at inference
_TRAINING_LAYERS: Final = frozenset(
    {"Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise"}
    | {"AlphaDropout", "ActivityRegularization"}
)
_RENAMED_KEYS: Final = {("LeakyReLU", "alpha"): "negative_slope", ("ReLU", "theta"): "threshold"}
_TRAINING_KEYS: Final = ("_initializer", "_regularizer", "_constraint")
_OBSOLETE_KEYS: Final = frozenset(
    {"implementation", "experimental_autocast", "autocast", "ragged", "type_spec", "optional", "fused", "renorm"}
    | {"renorm_clipping", "renorm_momentum", "virtual_batch_size", "adjustment", "_jit_compile", "seed", "trainable"}
)
_EMPTY: Final[tuple[Any, ...]] = (None, False, "", [], {}, ())
_VALUES: Final = ("__tuple__", "__numpy__", "__tensor__")  # under which Keras stores plain values
_FLOATS: Final = frozenset({"mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"})
# Names under which TensorFlow's own functions are stored.
_ACTIVATIONS: Final = {
    "softmax_v2": "softmax",
    "log_softmax_v2": "log_softmax",
    "relu_v2": "relu",
    "swish": "silu",
    "gelu_v2": "gelu",
    "elu_v2": "elu",
    "leaky_relu_v2": "leaky_relu",
}


def modernize(config: Any, keras_version: str) -> tuple[Config, list[str]]:
    """Return the network's description in the form of the installed Keras, and sentences on what was changed.

    `config` is the parsed config.json of a .keras file or the `model_config` of an .h5 file; `keras_version` is the
    version that wrote it, for messages. Raises ModelError, without the file's name, unless it is a network of Keras's
    own layers.
    """
    if isinstance(config, dict) and isinstance(config.get("config"), list):  # Keras 1 and early 2: a bare list
        config = {**config, "config": {"name": "sequential", "layers": config["config"]}}
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ModelError("it describes no network; save it with `model.save('model.keras')`")
    modernizer = _Modernizer(keras_version)
    return modernizer.model(config), modernizer.notes


class _Modernizer:
    def __init__(self, keras_version: str) -> None:
        self.notes: list[str] = []
        self._version, self._takes_floats = keras_version, True

    def model(self, node: Config) -> Config:
        """Rewrite a Sequential or Functional model, which may itself be a layer."""
        name, inner = str(node.get("class_name")).rpartition(">")[2], node["config"]
        if name not in _MODELS or not isinstance(inner.get("layers"), list):
            raise ModelError(
                f"its network is of the class {node.get('class_name')!r}, which is code of its own and not in the "
                f"file; {self._advice()}"
            )
        self._class_of(node)
        layers = [self.layer(layer) for layer in inner["layers"]]
        if name == "Sequential":
            return _made("keras", name, self._sequential(node, inner, layers))
        own = {layer["name"] for layer in inner["layers"] if _has_own_node(layer)}
        for layer in layers:
            layer["inbound_nodes"] = _without_own_nodes(layer.get("inbound_nodes", []), own)
        ends = {key: _single(inner.get(key)) for key in ("input_layers", "output_layers")}
        if str(self._version).startswith("2."):  # where a Functional ends a network, Keras itself leaves its node out
            ends = _without_own_nodes(ends, {one["name"] for one in layers if one["class_name"] == "Sequential"} & own)
        return _made("keras", "Model", {"name": inner.get("name"), **ends, "trainable": True, "layers": layers})

    def _sequential(self, node: Config, inner: Config, layers: list[Config]) -> Config:
        result: Config = {"name": inner.get("name") or "sequential", "layers": layers}
        if layers and layers[0]["class_name"] != "InputLayer":
            shape = _first_shape(inner["layers"][0]) or inner.get("build_input_shape")
            shape = shape or (node.get("build_config") or {}).get("input_shape")
            if shape and layers[0]["class_name"] not in _MODELS:
                layers.insert(0, _input_layer({"batch_shape": shape, "name": "network_input"}))
            elif shape:
                result["build_input_shape"] = _shape(shape)
        return result

    def layer(self, node: Any) -> Config:
        """Rewrite one layer with everything inside it."""
        if not isinstance(node, dict) or not isinstance(node.get("config"), dict):
            raise ModelError("one of its layers has no description; save it again")
        name = self._class_of(node)
        if name in _MODELS:
            result = self.model(node)
        elif name == "InputLayer":
            result = _input_layer(node["config"])
            self._takes_floats &= str(result["config"]["dtype"]).startswith("float")
        elif _is_augmentation(name) or name in _TRAINING_LAYERS:
            if name not in _TRAINING_LAYERS:
                self._say("augmentation layers are left out: they change nothing at inference")
            result = self._identity(node["config"].get("name"))
        elif _is_operation(node, name):
            module = _module_of_operation(name)
            if module is None:
                raise ModelError(self._foreign(node))
            result = _made(module, name, _plain(node["config"]))
        else:
            result = self._known_layer(node, name)
        layer_name = node.get("name") or node["config"].get("name")
        extra: Config = {} if layer_name is None else {"name": layer_name}
        if "inbound_nodes" in node:
            extra["inbound_nodes"] = _plain(node["inbound_nodes"], ("__keras_tensor__", *_VALUES))
        return {**result, **extra}

    def _identity(self, name: str | None) -> Config:
        """Return what an augmentation layer does at inference: it only turns integers into floats."""
        if self._takes_floats:
            return _made("keras.layers", "Identity", {"name": name})
        return _made("keras.layers", "Rescaling", {"name": name, "scale": 1.0, "offset": 0.0})

    def _known_layer(self, node: Config, name: str) -> Config:
        known = getattr(keras.layers, name)
        config: Config = {}
        for key, value in node["config"].items():
            key = _RENAMED_KEYS.get((name, key), key)
            if key.endswith(_TRAINING_KEYS) or key == "activity_regularizer":
                continue
            if key in _accepted_keys(known):
                config[key] = self._value(name, key, value)
            elif key == "time_major" and value:
                raise ModelError(
                    f"its layer {_title(node)} has time_major=True, which Keras 3 dropped: set it to False"
                )
            elif key in _OBSOLETE_KEYS or "input_shape" in key or value in _EMPTY or (key, value) == ("groups", 1):
                continue
            else:
                raise ModelError(
                    f"its layer {_title(node)} has {key}={value!r}, which the installed Keras {keras.__version__} does "
                    f"not know (the file is of Keras {self._version}); {self._advice()}"
                )
        if issubclass(known, (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)):
            config["unroll"] = True  # a loop cannot be part of a model file that is to run anywhere
        return _made("keras.layers", name, config)

    def _value(self, layer: str, key: str, value: Any) -> Any:
        if key == "dtype":
            return self._dtype(layer, value)
        if key.endswith("activation"):
            return self._activation(layer, value)
        if key == "axis" and isinstance(value, list) and len(value) == 1:
            return value[0]
        if key in ("layer", "cell", "backward_layer", "forward_layer") and isinstance(value, dict):
            return self.layer(value)
        if key == "cells" and isinstance(value, list):
            return [self.layer(cell) for cell in value]
        return _plain(value)

    def _dtype(self, layer: str, value: Any) -> str:
        name = value.get("config", {}).get("name") if isinstance(value, dict) else value
        if (isinstance(value, dict) and "Quantized" in str(value.get("class_name"))) or "_from_" in str(name):
            raise ModelError(f"its layer {layer} was quantized by Keras ({name}); convert the float model it came from")
        if name in _FLOATS:
            self._say(f"{name} is computed in float32")
            return "float32"
        return "float32" if name is None else str(name)

    def _activation(self, layer: str, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, dict):
            if value.get("class_name") != "function" and isinstance(value.get("config"), dict):
                return self.layer(value)  # an activation given as a layer
            value = value.get("config") if value.get("class_name") == "function" else value.get("class_name")
        name = str(value)
        name = _ACTIVATIONS.get(name, name)
        if not name.isidentifier() or name not in _activation_names():
            raise ModelError(
                f"its layer {layer} has the activation {name!r}, which is code of its own or of another version "
                f"(the file is of Keras {self._version}); {self._advice()}"
            )
        return name

    def _class_of(self, node: Config) -> str:
        """Return the plain class name. Raises ModelError for one that is not Keras's."""
        name, module = str(node.get("class_name")), node.get("module")
        registered = node.get("registered_name")
        package, _, plain = name.rpartition(">")
        own_modules = ("keras.", "tensorflow.", "tf_keras.")
        if module not in (None, "keras", "tf_keras", "builtins") and not str(module).startswith(own_modules):
            raise ModelError(self._foreign(node))
        own = str(registered).rpartition(">")[0] if registered else package
        if own not in ("", "keras", "Keras") or package not in ("", "keras", "Keras"):
            raise ModelError(self._foreign(node))
        plain = _RENAMED_CLASSES.get(plain, plain)
        if plain in _REFUSED:
            raise ModelError(f"its layer {_title(node)} runs code or reads files; rebuild the model without it")
        known = plain in _layer_names() | _TRAINING_LAYERS | set(_MODELS) or _is_augmentation(plain)
        if not known and not _is_operation(node, plain):
            raise ModelError(self._foreign(node))
        return plain

    def _foreign(self, node: Config) -> str:
        where = f" of {node['module']!r}" if node.get("module") else ""
        return (
            f"it names {node.get('class_name')!r}{where}, which is not a layer of the installed Keras "
            f"{keras.__version__} (the file is of Keras {self._version}); {self._advice()}"
        )

    def _advice(self) -> str:
        how = "`model.export('folder')`, in Keras 2 `model.save('folder')`"
        return f"load it where that is known, write a SavedModel ({how}), and convert that folder"

    def _say(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _made(module: str, name: str, config: Config) -> Config:
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def _input_layer(config: Config) -> Config:
    """Return an InputLayer with a free batch dimension."""
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if not shape:
        inner = config.get("shape") or config.get("input_shape")
        shape = [None, *inner] if inner else None
    if shape is None:
        raise ModelError("its input has no shape: call `model.build((None, 28, 28))` before saving")
    if config.get("sparse") or config.get("ragged"):
        raise ModelError("its input is sparse or ragged: rebuild it with `keras.Input((28, 28))`")
    dtype = config.get("dtype") or "float32"
    name = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else str(dtype)
    new = {"batch_shape": _shape(shape), "dtype": "float32" if name in _FLOATS else name, "name": config.get("name")}
    return _made("keras.layers", "InputLayer", new)


def _shape(shape: Any) -> list[int | None]:
    """Return a shape with a free batch dimension, whatever lists it is nested in."""
    flat: list[Any] = []

    def flatten(part: Any) -> None:
        if isinstance(part, dict):  # {"class_name": "__tuple__", "items": [...]}, or shapes by input's name
            part = part.get("items", list(part.values()))
        if isinstance(part, (list, tuple)):
            for one in part:
                flatten(one)
        else:
            flat.append(part)

    flatten(shape)
    if not flat or not all(side is None or isinstance(side, int) for side in flat):
        raise ModelError(f"its input shape {shape!r} can't be read: rebuild it with `keras.Input((28, 28))`")
    return [None, *flat[1:]]


def _single(ends: Any) -> Any:
    """Return a model's only input or output without the list that Keras 2 put around it."""
    return ends[0] if isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list) else ends


def _first_shape(node: Any) -> Any:
    """Return the input shape that Keras 2 wrote into the first layer, or None."""
    config = node.get("config") or {}
    return config.get("batch_input_shape") or config.get("batch_shape")


def _has_own_node(layer: Config) -> bool:
    """Tell whether Keras 2 counted a node of the layer's own before its calls: it did for models with an input."""
    first: Config = next(iter((layer.get("config") or {}).get("layers") or []), {})
    return bool(first.get("class_name") == "InputLayer" or _first_shape(first))


def _without_own_nodes(value: Any, own: Collection[str]) -> Any:
    """Return Keras 2's references [layer, node, tensor, ...] with the nodes of some layers counted from one less."""
    if isinstance(value, dict) and "class_name" not in value:  # in one with a class, Keras 3 refers to tensors
        return {key: _without_own_nodes(part, own) for key, part in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > 2 and isinstance(value[0], str) and value[0] in own and isinstance(value[1], int):
        return [value[0], max(0, value[1] - 1), *_without_own_nodes(value[2:], own)]
    return [_without_own_nodes(part, own) for part in value]


def _plain(value: Any, allowed: tuple[str, ...] = _VALUES) -> Any:
    """Return a value that names no object. Raises ModelError."""
    if isinstance(value, dict):
        if value.get("class_name") == "DTypePolicy":
            return str((value.get("config") or {}).get("name"))
        if "class_name" in value and value["class_name"] not in allowed:
            named = f"{value['class_name']!r} of {value.get('module')!r}"
            raise ModelError(f"it names {named} where a value should be; rebuild the model without it")
        return {key: _plain(part, allowed) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part, allowed) for part in value]
    return value


def _title(node: Config) -> str:
    name = node.get("name") or (node.get("config") or {}).get("name")
    return f"{name!r} ({node.get('class_name')})" if name else f"{node.get('class_name')}"


def _is_operation(node: Config, name: str) -> bool:
    """Tell whether a node is an operation of `keras.ops`, which .h5 files name without its module."""
    module = node.get("module")
    return str(module).startswith(_OPERATIONS) or (module is None and name not in _layer_names() | set(_MODELS))


@cache
def _module_of_operation(name: str) -> str | None:
    """Return the module of a mathematical operation of Keras, or None if there is no such operation."""
    for module in _OPERATIONS:
        known = getattr(importlib.import_module(module), name, None)
        if isinstance(known, type) and issubclass(known, keras.Operation) and not issubclass(known, keras.Layer):
            return module
    return None


def _is_augmentation(name: str) -> bool:
    return (name.startswith("Random") and name not in _NOT_AUGMENTATIONS) or name in _AUGMENTATIONS


@cache
def _layer_names() -> frozenset[str]:
    found = {name for name, value in vars(keras.layers).items() if inspect.isclass(value)}
    return frozenset(name for name in found if issubclass(getattr(keras.layers, name), keras.Layer))


@cache
def _activation_names() -> frozenset[str]:
    functions = {name for name, value in vars(keras.activations).items() if inspect.isfunction(value)}
    return frozenset(functions - {"get", "serialize", "deserialize"} | {"leaky_relu"})


@cache
def _accepted_keys(known: Any) -> frozenset[str]:
    """Return the names of all arguments that a layer's class takes, also on behalf of its bases."""
    names: set[str] = set()
    for base in known.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
            if base is keras.Layer or not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break  # what it does not hand on, its bases are not asked for
    return frozenset(names - {"self", "trainable", "autocast", "input_shape", "batch_shape", "seed"})
