"""The segmenter in fp32, as Keras computes it: the reference that the integers are measured against."""

from __future__ import annotations

from typing import Any

from fmnist_convert.photo.builder import GraphBuilder, Value
from fmnist_convert.photo.layer_nodes import convolution_attributes, grown, kernel_and_bias, pooled, unfolded


class FloatSteps:
    """Activations are float32 [1, channels, height, width]."""

    def rescale(self, g: GraphBuilder, layer: Any, pixels: Value) -> Value:
        """Scale grey levels."""
        return g.add("Add", g.add("Mul", pixels, float(layer.scale)), float(layer.offset))

    def convolve(self, g: GraphBuilder, layer: Any, x: Value) -> Value:
        """Convolve."""
        return g.add("Conv", x, *kernel_and_bias(layer), **convolution_attributes(layer))

    def relu(self, g: GraphBuilder, _layer: Any, x: Value) -> Value:
        """Set what is negative to 0."""
        return g.add("Relu", x)

    def max_pool(self, g: GraphBuilder, layer: Any, x: Value) -> Value:
        """Keep the largest of each group of cells."""
        return pooled(g, layer, x)

    def grow(self, g: GraphBuilder, layer: Any, x: Value) -> Value:
        """Repeat cells."""
        return grown(g, layer, x)

    def add(self, g: GraphBuilder, _layer: Any, x: Value, skipped: Value) -> Value:
        """Add what skipped the levels below."""
        return g.add("Add", x, skipped)

    def unfold(self, g: GraphBuilder, layer: Any, x: Value) -> Value:
        """Turn four channels into a plane of twice the side."""
        return unfolded(g, layer, x)
