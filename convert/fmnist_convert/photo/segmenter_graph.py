"""The segmenter as graph steps, from a Keras functional model: which layer follows which, in any arithmetic."""

from __future__ import annotations

from typing import Any, Final, Protocol

from fmnist_convert.photo.builder import GraphBuilder, Value
from fmnist_edge.errors import ModelError


class Steps(Protocol):
    """What each kind of layer becomes in one arithmetic. Between the steps stands what it keeps of an activation."""

    def rescale(self, g: GraphBuilder, layer: Any, pixels: Value) -> Any:
        """Take the thumbnail in: float32 [1, 3, side, side] in 0..255."""

    def convolve(self, g: GraphBuilder, layer: Any, x: Any) -> Any:
        """Convolve."""

    def relu(self, g: GraphBuilder, layer: Any, x: Any) -> Any:
        """Set what is negative to 0."""

    def max_pool(self, g: GraphBuilder, layer: Any, x: Any) -> Any:
        """Keep the largest of each group of cells."""

    def grow(self, g: GraphBuilder, layer: Any, x: Any) -> Any:
        """Repeat cells."""

    def add(self, g: GraphBuilder, layer: Any, x: Any, skipped: Any) -> Any:
        """Add what skipped the levels below."""

    def unfold(self, g: GraphBuilder, layer: Any, x: Any) -> Any:
        """Turn four channels into a plane of twice the side, where the last of Keras's three layers for it stands."""


_STEP_NAMES: Final = {
    "Rescaling": "rescale",
    "Conv2D": "convolve",
    "ReLU": "relu",
    "MaxPooling2D": "max_pool",
    "UpSampling2D": "grow",
    "Add": "add",
    "Reshape": "unfold",
    "Permute": "unfold",
}


def segment(g: GraphBuilder, thumbnail: Value, model: Any, steps: Steps) -> Value:
    """Return mask logits, float32 [side, side], of a thumbnail, float32 [side, side, 3] in 0..255.

    Raises ModelError if the Keras model has a layer that is not one of a segmenter.
    """
    side = int(model.input_shape[1])
    channels_first = g.add("Transpose", g.reshape(thumbnail, 1, side, side, 3), perm=[0, 3, 1, 2])
    values: dict[int, Any] = {id(model.inputs[0]): channels_first}
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        if kind not in _STEP_NAMES:
            raise ModelError(f"a segmenter has no layer like '{layer.name}' ({kind})")
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        step = getattr(steps, _STEP_NAMES[kind])
        values[id(layer.output)] = step(g, layer, *(values[id(tensor)] for tensor in inputs))
    logits: Value = values[id(model.outputs[0])]
    return logits
