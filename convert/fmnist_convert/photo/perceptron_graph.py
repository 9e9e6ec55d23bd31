"""An int8 perceptron stated in integers: MatMulInteger, so that no runtime needs to fuse anything.

The classifier's own file says the same in QDQ form, which onnxruntime fuses to these integers from 1.11 on, but only
with its graph optimizations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.integer_network import IMAGE_SCALE, IntegerNetwork
from fmnist_convert.network import PIXELS
from fmnist_convert.photo.builder import GraphBuilder, Value
from fmnist_convert.photo.drawing_graph import to_bytes
from fmnist_convert.rounding import IntegerKernel


def probabilities(g: GraphBuilder, image: Value, network: IntegerNetwork, prefix: str) -> Value:
    """Return float32 [1, 10] of a picture, uint8 [28, 28]; names of constants and results begin with the prefix."""
    sums = _layer(g, g.reshape(image, 1, PIXELS), network.hidden_kernel, network.hidden_bias, f"{prefix}_hidden")
    factors = IMAGE_SCALE * network.hidden_kernel.scales / network.hidden_scale
    hidden = to_bytes(g, g.add("Mul", sums, factors))
    sums = _layer(g, hidden, network.kernel, network.bias, f"{prefix}_output")
    logits = g.add("Mul", sums, network.hidden_scale * network.kernel.scales, name=f"{prefix}_logits")
    return g.add("Softmax", logits, axis=1)


def _layer(g: GraphBuilder, x: Value, kernel: IntegerKernel, bias: NDArray[np.int32], name: str) -> Value:
    """Return float32 sums, whole numbers. The bias is added as int32 in between: with scales alone behind it,
    onnxruntime would fuse MatMulInteger into an operator of its own that rounds otherwise.
    """
    product = g.add("MatMulInteger", x, g.operand(kernel.values, f"{name}_kernel"))
    return g.cast(g.add("Add", product, g.operand(bias, f"{name}_bias")), np.float32)
