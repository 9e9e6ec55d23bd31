"""From float to integers: equalize and pair the hidden units, calibrate their scale, round both kernels.

What is to be kept is the label. So an image counts the more, the smaller the gap between its two best logits is,
and every choice is made by one rule: the least weighted squared error of that gap, on training images that the
calibration itself has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.ambiguity import ambiguity, gap_error
from fmnist_convert.integer_network import (
    ACTIVATION_LIMIT,
    IMAGE_SCALE,
    IntegerNetwork,
    hidden_integers,
    integer_bias,
)
from fmnist_convert.network import PIXELS, Float64, Network
from fmnist_convert.refinement import refine
from fmnist_convert.rounding import IntegerKernel, round_kernel, round_scale, smallest_scales

# Images 0, 5, 10, ... of the training split calibrate; these and the three behind each refine, mirrored as well;
# 4, 9, 14, ... choose among the results.
CALIBRATION: Final = np.arange(0, 55_000, 5)
REFINEMENT: Final = np.concatenate([CALIBRATION + offset for offset in range(4)])
CHOICE: Final = CALIBRATION + 4
# How far units of different range are brought together before rounding: 0 not at all, 1 to one range.
# ReLU lets a unit be scaled up and its outgoing weights down without changing the network
# (Nagel et al. 2019, section 4.1).
EQUALIZATIONS: Final = (0.3, 0.4, 0.5, 0.6, 0.75)
# Share of the largest hidden activation that still fits into uint8; what lies above is clipped.
COVERAGES: Final = (1.0, 0.9, 0.8)
PAIRING_SWAPS: Final = 20_000  # tries of the search for pairs; it reaches its floor (no loss by the bound) in fewer
RIDGE: Final = 1e-4  # of the mean diagonal; keeps the refit of the last layer well conditioned


@dataclass(frozen=True)
class Quantized:
    """Integers, and how they were chosen."""

    network: IntegerNetwork
    origin: Network
    """The float network, equalized, with its units in the order of the integers."""
    equalization: float
    """The exponent taken from EQUALIZATIONS."""
    coverage: float
    """The share taken from COVERAGES."""
    refined: bool
    """Whether the hidden kernel was refined: not where that raised the error."""
    gap_error: float
    """Weighted mean squared error of the gap between the two best logits, on the choice images."""


def quantize(network: Network, images: NDArray[np.uint8]) -> Quantized:
    """Quantize on the images of the training split, uint8 [55000, 28, 28], the constants above telling what for."""
    choice = with_mirrored(images[CHOICE])
    rounded = best_rounding(network, images[CALIBRATION], choice)
    integers = refine(rounded.origin, rounded.network, with_mirrored(images[REFINEMENT]))
    error = gap_error(integers.logits(choice), network.logits(choice))
    if error >= rounded.gap_error:
        return rounded
    return replace(rounded, network=integers, refined=True, gap_error=error)


def best_rounding(network: Network, calibration: NDArray[np.uint8], choice: NDArray[np.uint8]) -> Quantized:
    """Quantize on calibration images, choosing among the results on others: uint8 [n, 28, 28] each.

    Both must come from training data alone. Nothing is refined.
    """
    target = network.logits(choice)
    hessian = _weighted_gram(calibration.reshape(-1, PIXELS), ambiguity(network.logits(calibration)))
    results = []
    for exponent in EQUALIZATIONS:
        equalized = pair_units(equalize(network, calibration, exponent))
        hidden_kernel = round_kernel(equalized.hidden_kernel, hessian)
        for coverage in COVERAGES:
            integers = _with_hidden(equalized, hidden_kernel, calibration, coverage)
            error = gap_error(integers.logits(choice), target)
            results.append(Quantized(integers, equalized, exponent, coverage, False, error))
    return min(results, key=lambda result: result.gap_error)


def with_mirrored(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 [2n, 28, 28]: the images, and the same mirrored left to right."""
    return np.concatenate([images, images[:, :, ::-1]])


def _with_hidden(
    network: Network, hidden_kernel: IntegerKernel, images: NDArray[np.uint8], coverage: float
) -> IntegerNetwork:
    """Finish the integers of a network whose first kernel is rounded: hidden scale, last layer, biases."""
    scale = np.float32(round_scale(network.hidden(images).max() * coverage / ACTIVATION_LIMIT))
    hidden_bias = integer_bias(network.hidden_bias, IMAGE_SCALE * hidden_kernel.scales)
    steps = hidden_integers(images, hidden_kernel, hidden_bias, scale)
    target = network.logits(images)
    weights = ambiguity(target)
    last = refit_last_layer(network, steps * np.float64(scale), target, weights)
    kernel = round_kernel(last.kernel, _weighted_gram(steps, weights))
    rounded = (steps * np.float64(scale)) @ (kernel.values * kernel.scales.astype(np.float64))
    bias = np.average(target - rounded, axis=0, weights=weights)
    return IntegerNetwork(hidden_kernel, hidden_bias, scale, kernel, integer_bias(bias, scale * kernel.scales))


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


def refit_last_layer(network: Network, hidden: Float64, logits: Float64, weights: Float64) -> Network:
    """Fit the last layer to the quantized hidden activations [n, units], so that its logits stay [n, 10].

    Ridge regression of the remaining logit error with image weights [n], by the normal equations.
    """
    inputs = np.concatenate([hidden, np.ones((len(hidden), 1))], axis=1)
    weighted = inputs * weights[:, None]
    gram = weighted.T @ inputs
    missing = logits - (hidden @ network.kernel + network.bias)
    ridge = RIDGE * np.diag(gram).mean() * np.eye(len(gram))
    change = np.linalg.solve(gram + ridge, weighted.T @ missing)
    return Network(network.hidden_kernel, network.hidden_bias, network.kernel + change[:-1], network.bias + change[-1])


def _weighted_gram(inputs: NDArray[np.uint8], weights: Float64) -> Float64:
    """Return X^T diag(w) X of uint8 inputs X [n, width] and weights w [n]: float64 [width, width]."""
    wide = inputs.astype(np.float64)
    return (wide * weights[:, None]).T @ wide
