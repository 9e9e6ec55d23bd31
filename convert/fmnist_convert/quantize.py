"""From float to integers: equalize and pair the hidden units, calibrate their scale, round both kernels.

Every choice is made by one rule: the least mean squared error of the logits on training images that the
calibration itself has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.integer_network import (
    ACTIVATION_LIMIT,
    IMAGE_SCALE,
    IntegerNetwork,
    hidden_integers,
    integer_bias,
)
from fmnist_convert.network import PIXELS, Float64, Network
from fmnist_convert.rounding import round_kernel, round_scale, smallest_scales

# Images 0, 5, 10, ... of the training split calibrate; 1, 6, 11, ... choose among the results.
CALIBRATION: Final = slice(0, 55_000, 5)
CHOICE: Final = slice(1, 55_000, 5)
# How far units of different range are brought together before rounding: 0 not at all, 1 to one range.
# ReLU lets a unit be scaled up and its outgoing weights down without changing the network
# (Nagel et al. 2019, section 4.1).
EQUALIZATIONS: Final = (0.5, 0.75)
# Share of the largest hidden activation that still fits into uint8; what lies above is clipped.
COVERAGES: Final = (1.0, 0.9)
PAIRING_SWAPS: Final = 20_000  # tries of the search for pairs; it reaches its floor (no loss by the bound) in fewer
RIDGE: Final = 1e-4  # of the mean diagonal; keeps the refit of the last layer well conditioned


@dataclass(frozen=True)
class Quantized:
    """Integers, and how they were chosen."""

    network: IntegerNetwork
    equalization: float
    """The exponent taken from EQUALIZATIONS."""
    coverage: float
    """The share taken from COVERAGES."""
    logit_error: float
    """Mean squared error of the logits on the choice images."""


def quantize(network: Network, images: NDArray[np.uint8]) -> Quantized:
    """Quantize on the 55,000 training images, uint8 [n, 28, 28] (no test or validation image is seen)."""
    calibration, choice = images[CALIBRATION], images[CHOICE]
    pixels = calibration.reshape(-1, PIXELS).astype(np.float64)
    hessian = pixels.T @ pixels
    target = network.logits(choice)
    results = []
    for exponent in EQUALIZATIONS:
        equalized = pair_units(equalize(network, calibration, exponent))
        hidden_kernel = round_kernel(equalized.hidden_kernel, hessian)
        hidden_bias = integer_bias(equalized.hidden_bias, IMAGE_SCALE * hidden_kernel.scales)
        largest = equalized.hidden(calibration).max()
        for coverage in COVERAGES:
            scale = np.float32(round_scale(largest * coverage / ACTIVATION_LIMIT))
            steps = hidden_integers(calibration, hidden_kernel, hidden_bias, scale)
            last = refit_last_layer(equalized, steps * np.float64(scale), network.logits(calibration))
            kernel = round_kernel(last.kernel, _gram(steps))
            bias = integer_bias(last.bias, scale * kernel.scales)
            integers = IntegerNetwork(hidden_kernel, hidden_bias, scale, kernel, bias)
            error = float(np.mean((integers.logits(choice) - target) ** 2))
            results.append(Quantized(integers, exponent, coverage, error))
    return min(results, key=lambda result: result.logit_error)


def equalize(network: Network, images: NDArray[np.uint8], exponent: float) -> Network:
    """Return the same function with hidden ranges brought together: unit j times (max/max_j)**exponent."""
    largest = np.maximum(network.hidden(images).max(axis=0), 1e-6)
    factors = round_scale((largest.max() / largest) ** exponent)
    return Network(
        network.hidden_kernel * factors,
        network.hidden_bias * factors,
        network.kernel / factors[:, None],
        network.bias,
    )


def pair_units(network: Network) -> Network:
    """Return the same function with its hidden units in an order in which the pair bound costs least.

    Which units stand beside each other is free, and the bound holds for neighbours: pairs are searched for in
    which the last layer's weights do not add up. Random swaps that lessen the sum of squared scales are kept.
    """
    random = np.random.default_rng(0)
    order = np.arange(len(network.hidden_bias))
    floor = smallest_scales(network.kernel, bounded=False)

    def cost() -> float:
        return float(np.sum((smallest_scales(network.kernel[order]) / floor) ** 2))

    least = cost()
    for first, second in random.integers(0, len(order), (PAIRING_SWAPS, 2)):
        order[[first, second]] = order[[second, first]]
        now = cost()
        if now > least:
            order[[first, second]] = order[[second, first]]
        least = min(now, least)
    return Network(network.hidden_kernel[:, order], network.hidden_bias[order], network.kernel[order], network.bias)


def refit_last_layer(network: Network, hidden: Float64, logits: Float64) -> Network:
    """Fit the last layer to the quantized hidden activations [n, units], so that its logits stay [n, 10].

    Ridge regression of the remaining logit error, by the normal equations.
    """
    inputs = np.concatenate([hidden, np.ones((len(hidden), 1))], axis=1)
    gram = inputs.T @ inputs
    missing = logits - (hidden @ network.kernel + network.bias)
    ridge = RIDGE * np.diag(gram).mean() * np.eye(len(gram))
    change = np.linalg.solve(gram + ridge, inputs.T @ missing)
    return Network(network.hidden_kernel, network.hidden_bias, network.kernel + change[:-1], network.bias + change[-1])


def _gram(steps: NDArray[np.uint8]) -> Float64:
    wide = steps.astype(np.float64)
    return wide.T @ wide
