"""The quantized network as plain integers: the arithmetic that every device carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.network import PIXELS, Network
from fmnist_convert.rounding import IntegerKernel

# The image is its own quantized form: a grey level g stands for g/255, with zero point 0.
IMAGE_SCALE: Final = np.float32(1 / 255)
ACTIVATION_LIMIT: Final = 255


@dataclass(frozen=True)
class IntegerNetwork:
    """The int8 classifier: uint8 activations, int8 kernels, int32 biases and sums."""

    hidden_kernel: IntegerKernel
    """int8 [784, units] with a scale for each unit."""
    hidden_bias: NDArray[np.int32]
    """int32 [units], in steps of IMAGE_SCALE * hidden_kernel.scales."""
    hidden_scale: np.float32
    """One step of the uint8 hidden activations; their zero point is 0."""
    kernel: IntegerKernel
    """int8 [units, 10] with a scale for each class."""
    bias: NDArray[np.int32]
    """int32 [10], in steps of hidden_scale * kernel.scales."""

    def hidden(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the quantized hidden activations, uint8 [n, units], of uint8 [n, 28, 28] images."""
        return hidden_integers(images, self.hidden_kernel, self.hidden_bias, self.hidden_scale)

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits, float32 [n, 10], of uint8 [n, 28, 28] images."""
        sums = _integer_product(self.hidden(images), self.kernel.values) + self.bias
        return sums.astype(np.float32) * (self.hidden_scale * self.kernel.scales)

    def as_floats(self) -> Network:
        """Return the network that these integers stand for: the same function, but for the rounding of activations."""
        hidden_scales = self.hidden_kernel.scales.astype(np.float64)
        scales = self.kernel.scales.astype(np.float64)
        return Network(
            self.hidden_kernel.values * hidden_scales,
            self.hidden_bias * (np.float64(IMAGE_SCALE) * hidden_scales),
            self.kernel.values * scales,
            self.bias * (np.float64(self.hidden_scale) * scales),
        )


def hidden_integers(
    images: NDArray[np.uint8], kernel: IntegerKernel, bias: NDArray[np.int32], scale: np.float32
) -> NDArray[np.uint8]:
    """Return uint8 [n, units]: int32 sums, one float32 factor for each unit, rounded half to even, clipped."""
    sums = _integer_product(images.reshape(-1, PIXELS), kernel.values) + bias
    steps = np.rint(sums.astype(np.float32) * (IMAGE_SCALE * kernel.scales / scale))
    return np.clip(steps, 0, ACTIVATION_LIMIT).astype(np.uint8)


def integer_bias(bias: NDArray[np.float64], steps: NDArray[np.float32]) -> NDArray[np.int32]:
    """Round a float bias to int32 in the given steps (scale of the inputs times scale of the kernel)."""
    return np.rint(bias / steps.astype(np.float64)).astype(np.int32)


def _integer_product(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
    """Multiply exactly: float64 holds every sum here (below 2**25), and is far faster than integer matmul."""
    return (activations.astype(np.float64) @ weights.astype(np.float64)).astype(np.int32)
