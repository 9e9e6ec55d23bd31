"""Quantization as textbooks have it: nearest integers, ranges by minimum and maximum. To compare with."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.integer_network import ACTIVATION_LIMIT, IMAGE_SCALE, IntegerNetwork, integer_bias
from fmnist_convert.network import Float64, Network
from fmnist_convert.rounding import WEIGHT_LIMIT, IntegerKernel, round_scale, smallest_scales

SEVEN_BITS: Final = 63  # onnxruntime's reduce_range: no pair of 63s can saturate, at half the resolution


def round_plainly(
    network: Network,
    calibration: NDArray[np.uint8],
    *,
    bounded: bool = False,
    per_channel: bool = True,
    limit: int = WEIGHT_LIMIT,
) -> IntegerNetwork:
    """Round a network to the nearest integers; `calibration` (uint8 [n, 28, 28]) gives the hidden layer's range.

    `bounded` holds the pair bound by larger scales alone, `per_channel` gives each unit a scale of its own, `limit` is
    the largest weight.
    """
    hidden_kernel = _nearest(network.hidden_kernel, bounded, per_channel, limit)
    kernel = _nearest(network.kernel, bounded, per_channel, limit)
    scale = np.float32(round_scale(network.hidden(calibration).max() / ACTIVATION_LIMIT))
    return IntegerNetwork(
        hidden_kernel=hidden_kernel,
        hidden_bias=integer_bias(network.hidden_bias, IMAGE_SCALE * hidden_kernel.scales),
        hidden_scale=scale,
        kernel=kernel,
        bias=integer_bias(network.bias, scale * kernel.scales),
    )


def _nearest(kernel: Float64, bounded: bool, per_channel: bool, limit: int) -> IntegerKernel:
    scales = smallest_scales(kernel, bounded=bounded) * (WEIGHT_LIMIT / limit)
    if not per_channel:
        scales = np.full_like(scales, scales.max())
    scales = round_scale(scales)
    values = np.clip(np.rint(kernel / scales), -limit, limit)
    return IntegerKernel(values.astype(np.int8), scales.astype(np.float32))
