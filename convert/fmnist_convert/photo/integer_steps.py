"""The segmenter in integers, stated by operators that every runtime computes alike.

QuantizeLinear and DequantizeLinear leave it to a runtime what it fuses to integers: onnxruntime 1.11 to 1.22 leave
much of such a segmenter in float, and 1.16 draws other pictures altogether. So nothing here waits for a fusion:
QLinearConv and ConvInteger compute integers, and the few float steps are exact in float32, so that neither the order
of additions nor a fused multiply-add can change them.

Activations are uint8 [1, channels, height, width] within the range that training recorded for their layer. Kernels
are int8 within +-64 with a scale for each output channel: two products of 64 * 255 fit into the 16-bit pair sums of
CPUs without VNNI.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.integer_network import ACTIVATION_LIMIT, integer_bias
from fmnist_convert.photo.builder import GraphBuilder, Value
from fmnist_convert.photo.drawing_graph import to_bytes
from fmnist_convert.photo.layer_nodes import convolution_attributes, grown, kernel_and_bias, pooled, unfolded
from fmnist_convert.rounding import IntegerKernel, round_scale
from fmnist_edge.errors import ModelError

KERNEL_LIMIT: Final = 64
UINT8_ZERO: Final = 128
EXACT_BITS: Final = 24  # float32 holds integers of so many bits exactly
Ranges = Mapping[str, tuple[float, float]]
"""Layer name to the smallest and largest activation that is to be kept."""


@dataclass(frozen=True)
class Activation:
    """A tensor of uint8 that stands for (integer - zero + shift) * scale."""

    value: Value
    scale: np.float32
    zero: np.uint8
    shift: float = 0.0
    """What a zero point, being an integer, cannot say; a convolution adds it to its bias."""


class IntegerSteps:
    """Each step takes an Activation and returns one; the last convolution returns float32 logits."""

    def __init__(self, ranges: Ranges) -> None:
        """Take the range of each layer whose result is stored: ReLUs, additions, convolutions without a ReLU."""
        self.ranges = ranges

    def rescale(self, g: GraphBuilder, layer: Any, pixels: Value) -> Activation:
        """Round the thumbnail to whole grey levels, each of which is one step of the rescaled values."""
        centre = -float(layer.offset) / float(layer.scale)
        zero = np.uint8(np.rint(centre))
        return Activation(to_bytes(g, pixels), np.float32(layer.scale), zero, float(zero) - centre)

    def convolve(self, g: GraphBuilder, layer: Any, x: Any) -> Activation | Value:
        """Convolve; storing within the range of the ReLU behind it, whose zero is 0, clips as the ReLU would."""
        x = _stored(x, layer)
        stored = layer.name.replace("_conv", "_relu")
        if stored not in self.ranges:
            return _logits(g, layer, x)
        scale, zero = self._grid(stored)
        kernel, _, bias = _integers(layer, x)
        inputs = (x.value, x.scale, x.zero, kernel.values, kernel.scales, np.zeros(len(bias), np.int8), scale, zero)
        return Activation(g.add("QLinearConv", *inputs, bias, **convolution_attributes(layer)), scale, zero)

    def relu(self, _g: GraphBuilder, layer: Any, x: Any) -> Activation:
        """Do nothing: the convolution before stored its result within the ReLU's range."""
        return _stored(x, layer)

    def max_pool(self, g: GraphBuilder, layer: Any, x: Any) -> Activation:
        """Keep the largest integer of each group of cells."""
        return _like(_stored(x, layer), pooled(g, layer, x.value))

    def grow(self, g: GraphBuilder, layer: Any, x: Any) -> Activation:
        """Repeat cells."""
        return _like(_stored(x, layer), grown(g, layer, x.value))

    def add(self, g: GraphBuilder, layer: Any, x: Any, skipped: Any) -> Activation:
        """Add, rounding once: round(x * a + skipped * b + c) with factors that leave every sum exact in float32."""
        scale, zero = self._grid(layer.name)
        terms = [_stored(x, layer), _stored(skipped, layer)]
        factors = _exact_factors(np.array([float(term.scale) / float(scale) for term in terms]))
        shift = float(zero) - float(factors @ [float(term.zero) for term in terms])
        parts = [g.add("Mul", g.cast(t.value, np.float32), float(f)) for t, f in zip(terms, factors, strict=True)]
        return Activation(to_bytes(g, g.add("Add", g.add("Add", *parts), shift)), scale, zero)

    def unfold(self, g: GraphBuilder, layer: Any, x: Value) -> Value:
        """Turn four channels of logits into a plane of twice the side."""
        return unfolded(g, layer, x)

    def _grid(self, layer: str) -> tuple[np.float32, np.uint8]:
        """Return scale and zero point with which 0..255 spans the layer's range and holds 0 exactly."""
        low, high = min(self.ranges[layer][0], 0.0), max(self.ranges[layer][1], 1e-6)
        scale = np.float32(round_scale((high - low) / ACTIVATION_LIMIT))
        return scale, np.uint8(np.clip(np.rint(-low / scale), 0, ACTIVATION_LIMIT))


def _logits(g: GraphBuilder, layer: Any, x: Activation) -> Value:
    """Return a convolution's result in float32: integer sums, scaled once.

    The kernel goes as uint8 around 128, since ConvInteger takes no int8 in onnxruntime before 1.24.
    """
    kernel, steps, bias = _integers(layer, x)
    shifted = (kernel.values.astype(np.int16) + UINT8_ZERO).astype(np.uint8)
    sums = g.add("ConvInteger", x.value, shifted, x.zero, np.uint8(UINT8_ZERO), **convolution_attributes(layer))
    with_bias = g.add("Add", sums, bias.reshape(1, -1, 1, 1))
    return g.add("Mul", g.cast(with_bias, np.float32), steps.reshape(1, -1, 1, 1))


def _integers(layer: Any, x: Activation) -> tuple[IntegerKernel, NDArray[np.float32], NDArray[np.int32]]:
    """Return a convolution's kernel, int8 [out, in, height, width], the steps of its sums, and its bias in them."""
    kernel, bias = kernel_and_bias(layer)
    scales = round_scale(np.maximum(np.abs(kernel).max(axis=(1, 2, 3)) / KERNEL_LIMIT, 1e-12)).astype(np.float32)
    values = np.rint(kernel / scales[:, None, None, None]).astype(np.int8)
    steps = x.scale * scales
    shifted = bias + x.shift * values.sum(axis=(1, 2, 3)) * steps.astype(np.float64)
    return IntegerKernel(values, scales), steps, integer_bias(shifted, steps)


def _exact_factors(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round factors of uint8 integers to so many binary places that sums of the products are exact in float32.

    With a shift that brings zero to zero no partial sum is larger than twice 255 times the factors' sum and 255.
    """
    largest = 2 * ACTIVATION_LIMIT * factors.sum() + ACTIVATION_LIMIT
    places = EXACT_BITS - math.ceil(math.log2(largest + 1))
    return np.asarray(np.ldexp(np.rint(np.ldexp(factors, places)), -places), np.float64)


def _like(x: Activation, value: Value) -> Activation:
    return Activation(value, x.scale, x.zero)


def _stored(x: Any, layer: Any) -> Activation:
    """Return what a layer reads, if the record told how to store it."""
    if not isinstance(x, Activation):
        raise ModelError(
            f"the segmenter's file records no range for what its layer '{layer.name}' reads: "
            "train it with `fmnist-edge train --part segmenter`"
        )
    return x
