"""Opening a TensorFlow SavedModel folder: what `model.export` of Keras 3 and `model.save` of Keras 2 write.

A SavedModel is a program. It is loaded only if no operation in it calls Python, opens a connection or reads files (but
for restoring and saving the weights), and run only if its inference consists of the operations of plain networks: no
state, no loops, no tensors of a size that the network does not fix.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.backend import tf
from fmnist_convert.keras_model import BATCH_VALUES, LARGEST_BATCH, MAX_LAYER_VALUES, cause_of, too_large
from fmnist_convert.original import Original, finished, several_inputs, ten_classes
from fmnist_convert.validation import MAX_BYTES, Kind
from fmnist_edge.errors import ModelError

_NETWORK: Final = frozenset(
    """
    Abs Add AddN AddV2 AvgPool BatchMatMul BatchMatMulV2 BatchToSpaceND BiasAdd Cast ConcatV2 Conv2D
    DepthwiseConv2dNative Div DisableCopyOnRead DivNoNan Elu Erf Erfc Exp ExpandDims Expm1 Floor FloorDiv
    FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 GatherV2 Greater GreaterEqual Identity IdentityN
    L2Loss LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool
    MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mul Neg NoOp OnesLike Pack Pad PadV2 PartitionedCall
    Placeholder PlaceholderWithDefault Pow PreventGradient Prod Rank ReadVariableOp RealDiv Reciprocal Relu
    Relu6 Reshape ResizeBilinear ResizeNearestNeighbor Round Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Size
    Slice Softmax Softplus Softsign SpaceToBatchND Split SplitV Sqrt Square SquaredDifference Squeeze
    StatefulPartitionedCall StopGradient StridedSlice Sub Sum Tanh Transpose Unpack ZerosLike ArgMax Const
    Einsum _FusedConv2D _FusedMatMul
    """.split()  # noqa: SIM905 - as a list it would fill a page
)
# Prefixes of operations that no function may have, even one that inference does not call.
_DANGEROUS: Final = (
    *("PyFunc", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles"),
    *("Remote", "Load", "Rpc", "Debug"),
)
_OBJECTS: Final = ("user_object", "function", "variable", "bare_concrete_function", "constant", "captured_tensor")
_MAX_FILES: Final = 200
_ADVICE: Final = "save it as .keras with `model.save('model.keras')` and convert that"


def open_saved_model(path: Path, kind: Kind, sha256: str, form_name: str | None) -> Original:
    """Validate and load a SavedModel folder. Raises ModelError."""
    _validate(path)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises many types
        raise ModelError(
            f"{path} can't be loaded by TensorFlow {tf.__version__}: {cause_of(error)}; {_ADVICE}"
        ) from error
    function = _signature(loaded, path)
    _refuse_effects(function, path)
    inputs = function.structured_input_signature[1]
    if len(inputs) != 1:
        raise ModelError(several_inputs(path, list(inputs)))
    ((name, spec),) = inputs.items()
    outputs = list(function.structured_outputs.values())
    index = ten_classes(path, [_sides(one.shape) for one in outputs])
    size = _largest_batch(function, path)
    call = _Call(loaded, function, name, index)

    def answer(batch: NDArray[Any]) -> NDArray[np.float32]:
        parts = [np.asarray(call(batch[at : at + size]), np.float32) for at in range(0, len(batch), size)]
        return np.concatenate(parts).reshape(len(batch), -1)

    shape = _sides(spec.shape)
    if shape[0] is not None:
        raise ModelError(f"{path} is built for batches of {shape[0]}: {_ADVICE}")
    original = Original(path, kind, sha256, {}, shape[1:], spec.dtype.name, answer, model=call)
    return finished(original, form_name)


class _Call:
    """The signature of a loaded SavedModel, as a function of the image."""

    def __init__(self, loaded: Any, function: Any, name: str, index: int) -> None:
        self._loaded = loaded  # its weights live as long as it does
        self._function, self._name = function, name
        self._output = list(function.structured_outputs)[index]

    def __call__(self, images: Any, training: bool = False) -> Any:
        """Return the ten values of each image; a signature is always that of inference."""
        given = tf.convert_to_tensor(images)
        return self._function(**{self._name: given})[self._output]


def _validate(path: Path) -> None:
    """Raise ModelError unless it is a plain network, before TensorFlow loads it."""
    from tensorflow.core.protobuf import saved_model_pb2

    files = [file for file in path.rglob("*") if not file.is_dir()]
    if len(files) > _MAX_FILES or any(file.is_symlink() for file in path.rglob("*")):
        raise ModelError(f"{path} is not loaded: a SavedModel has a few plain files, without links; {_ADVICE}")
    if sum(file.stat().st_size for file in files) > 3 * MAX_BYTES:
        raise ModelError(f"{path} has more than {3 * MAX_BYTES >> 20} MiB: no network for these images does; {_ADVICE}")
    try:
        saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except Exception as error:  # protobuf's DecodeError has no public home
        raise ModelError(f"{path} is damaged: its saved_model.pb can't be read ({error}); {_ADVICE}") from error
    for meta in saved.meta_graphs:
        fault = next(_faults(meta), None)
        if fault:
            raise ModelError(f"{path} is not loaded: {fault}; {_ADVICE}")


def _faults(meta: Any) -> Iterator[str]:
    """Yield what could run code or reach files while the folder is loaded."""
    if not meta.object_graph_def.nodes:
        yield "TensorFlow 1 wrote it, whose graphs run code of their own when they are loaded"
    nodes = [*meta.graph_def.node, *(node for one in meta.graph_def.library.function for node in one.node_def)]
    for node in nodes:
        if node.op.startswith(_DANGEROUS):
            yield f"its operation {node.op} reaches files or code"
    for one in meta.object_graph_def.nodes:
        if one.WhichOneof("kind") not in (*_OBJECTS, None) or one.registered_saver:
            yield "it brings files or resources of its own"


def _refuse_effects(function: Any, path: Path) -> None:
    """Raise ModelError unless inference consists of the operations of plain networks, with constants of their size."""
    graph = function.graph.as_graph_def()
    for node in [*graph.node, *(node for one in graph.library.function for node in one.node_def)]:
        if node.op not in _NETWORK:
            raise ModelError(
                f"{path} is not run: its operation {node.op} is not one of a plain network at inference; {_ADVICE}"
            )
        if node.op == "Const":
            sides = [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
            if prod(sides) > 4 * MAX_LAYER_VALUES:
                raise ModelError(f"{path} is not run: one of its constants has the sides {sides}; {_ADVICE}")


def _signature(loaded: Any, path: Path) -> Any:
    """Return the inference function. Raises ModelError."""
    signatures = dict(loaded.signatures)
    names = [name for name in ("serving_default", "serve") if name in signatures] or list(signatures)[:2]
    if len(names) == 1 or names[:1] == ["serving_default"]:
        return signatures[names[0]]
    raise ModelError(f"{path} has no signature `serving_default`: {_ADVICE}")


def _sides(shape: Any) -> tuple[int | None, ...]:
    return tuple(shape.as_list()) if shape.rank is not None else ()


def _largest_batch(function: Any, path: Path) -> int:
    """Return how many images fit into a batch of BATCH_VALUES. Raises ModelError for a layer that is too large."""
    outputs = [output.shape for operation in function.graph.get_operations() for output in operation.outputs]
    most = max(prod(side or 1 for side in shape.as_list()[1:]) if shape.rank else 1 for shape in outputs)
    if most > MAX_LAYER_VALUES:
        raise ModelError(f"{path} is not run: {too_large(most)}")
    return max(1, min(LARGEST_BATCH, BATCH_VALUES // most))
