"""From a dense chain's floats to integers: equalize and pair hidden units, calibrate, round, refine.

The label is what must stay. So an image counts the more, the smaller its logit margin (best logit less second), and
every choice follows one rule: the least weighted squared error of that margin, on training images that the calibration
itself has not seen.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.dense_chain import Dense, DenseChain, Float64
from fmnist_convert.integer_mlp import ACTIVATION_LIMIT, IMAGE_SCALE, IntegerLayer, IntegerMlp, integer_bias
from fmnist_convert.progress import SILENT, Progress
from fmnist_convert.rounding import (
    PAIR_LIMIT,
    WEIGHT_LIMIT,
    Hessian,
    image_weights,
    margin_error,
    prepare_hessian,
    refine,
    round_kernel,
    round_scale,
    smallest_scales,
)

# Images 0, 5, 10, ... of the training split calibrate; these and the three after each refine, mirrored as well;
# 4, 9, 14, ... choose among the results.
CALIBRATION: Final = np.arange(0, 55_000, 5)
REFINEMENT: Final = np.concatenate([CALIBRATION + offset for offset in range(4)])
CHOICE: Final = CALIBRATION + 4
# How far the ranges of units are equalized before rounding: 0 not at all, 1 to one range. ReLU lets a unit be scaled
# up and its outgoing weights down without changing the network (Nagel et al. 2019, section 4.1).
EQUALIZATIONS: Final = (0.3, 0.4, 0.5, 0.6, 0.75)
MOST_WEIGHTS: Final = 600_000  # rounded in all tries together: a wide chain is tried with the first exponents only
COVERAGES: Final = (1.0, 0.9, 0.8)  # share of the largest hidden activation that fits into uint8; the rest is clipped
PAIRING_SWAPS: Final = 20_000  # tried in the search for pairs; fewer are enough for the bound to cost nothing
RIDGE: Final = 1e-4  # of the mean diagonal; keeps the refit of a layer well conditioned


@dataclass(frozen=True)
class Quantized:
    """Integers, and how they were chosen."""

    network: IntegerMlp
    origin: DenseChain  # the float network, equalized, with its units in the order of the integers
    equalization: float  # the exponent taken from EQUALIZATIONS
    coverage: float  # the share taken from COVERAGES
    refined: bool  # whether the first kernel was refined: not where that raised the error
    margin_error: float  # weighted mean squared error of the logit margin, on the choice images


def quantize_mlp(
    chain: DenseChain, images: NDArray[np.uint8], *, refined: bool = True, progress: Progress = SILENT
) -> Quantized:
    """Quantize on the images of the training split, uint8 [55000, 28, 28]; the constants above say which for what.

    Without `refined` the integers are those of the best rounding.
    """
    choice = with_mirrored(images[CHOICE])
    rounded = best_rounding(even(chain), images[CALIBRATION], choice, progress)
    if len(chain.layers) == 1 or not refined:
        return rounded
    integers = refine(rounded.origin, rounded.network, with_mirrored(images[REFINEMENT]), progress)
    error = margin_error(integers.logits(choice), chain.logits(choice))
    if error >= rounded.margin_error:
        return rounded
    return replace(rounded, network=integers, refined=True, margin_error=error)


def best_rounding(
    chain: DenseChain, calibration: NDArray[np.uint8], choice: NDArray[np.uint8], progress: Progress = SILENT
) -> Quantized:
    """Quantize on calibration images, choosing among the results on others: uint8 [n, 28, 28] each.

    Both must come from training data. Nothing is refined.
    """
    progress.step("rounding")
    several = len(chain.layers) > 1
    weighed = max(1, MOST_WEIGHTS // sum(layer.kernel.size for layer in chain.layers))
    exponents, coverages = (EQUALIZATIONS[:weighed], COVERAGES) if several else ((0.0,), (1.0,))
    target, weights = chain.logits(choice), image_weights(chain.logits(calibration))
    pixels, choice_pixels = (images.reshape(len(images), -1) for images in (calibration, choice))
    hessian = prepare_hessian(_weighted_gram(pixels, weights))
    results: list[Quantized] = []
    for exponent in exponents:
        origin = pair_units(equalize(chain, calibration, exponent)) if several else chain
        first = _rounded_layer(origin.layers[0], hessian, IMAGE_SCALE)
        later = _Later(origin, origin.hidden(calibration), first, first.sums(pixels), weights)
        choice_sums = first.sums(choice_pixels)
        for coverage in coverages:
            progress.count(len(results), len(exponents) * len(coverages))
            integers = later.finish(coverage)
            error = margin_error(integers.logits_behind(choice_sums), target)
            results.append(Quantized(integers, origin, exponent, coverage, False, error))
    progress.count(len(results), len(results))
    return min(results, key=lambda result: result.margin_error)


def describe_mlp(quantized: Quantized) -> dict[str, Any]:
    """Return how the integers were chosen, with the images that were seen, for the file's metadata."""
    return {
        "form": "static QDQ: uint8 activations, int8 weights with a scale for each output channel",
        "weight_range": [-WEIGHT_LIMIT, WEIGHT_LIMIT],
        "pair_limit": PAIR_LIMIT,
        "split": "train",
        "calibration_indices": "0:55000:5",
        "choice_indices": "4:55000:5",
        "method": "units equalized and paired, rounding with error compensation and descent, last layer refitted; "
        "images weighted by the closeness of their two best logits, choices by the least error of that gap",
        "equalization": quantized.equalization,
        "coverage": quantized.coverage,
        "gap_error": round(quantized.margin_error, 4),
    } | (_REFINED if quantized.refined else {})


_REFINED: Final = {
    "refinement": "hidden weights moved by single steps to keep that gap; refinement and choice see each image "
    "mirrored, too",
    "refinement_indices": "0:55000:5, 1:55000:5, 2:55000:5, 3:55000:5",
}


def with_mirrored(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 [2n, 28, 28]: the images, and the same mirrored left to right."""
    return np.concatenate([images, images[:, :, ::-1]])


def even(chain: DenseChain) -> DenseChain:
    """Return the same function with an even number of units in each hidden layer: the pair bound is on pairs."""
    layers = list(chain.layers)
    for place, (layer, following) in enumerate(itertools.pairwise(layers)):
        if len(layer.bias) % 2:
            layers[place] = Dense(np.pad(layer.kernel, ((0, 0), (0, 1))), np.pad(layer.bias, (0, 1)))
            layers[place + 1] = Dense(np.pad(following.kernel, ((0, 1), (0, 0))), following.bias)
    return DenseChain(tuple(layers))


def equalize(chain: DenseChain, images: NDArray[np.uint8], exponent: float) -> DenseChain:
    """Return the same function with hidden ranges brought together: unit j times (max/max_j)**exponent."""
    layers = list(chain.layers)
    for place, activations in enumerate(chain.hidden(images)):
        largest = np.maximum(activations.max(axis=0), 1e-6)
        factors = round_scale((largest.max() / largest) ** exponent)
        layer, following = layers[place : place + 2]
        layers[place] = Dense(layer.kernel * factors, layer.bias * factors)
        layers[place + 1] = Dense(following.kernel / factors[:, None], following.bias)
    return DenseChain(tuple(layers))


def pair_units(chain: DenseChain) -> DenseChain:
    """Return the same function with its hidden units in the order in which the pair bound costs least.

    The order of units is free, and the bound is on neighbours: pairs are sought in which the next layer's weights do
    not add up.
    """
    layers = list(chain.layers)
    for place in range(len(layers) - 1):
        order = _pairing(layers[place + 1].kernel)
        layer, following = layers[place : place + 2]
        layers[place] = Dense(layer.kernel[:, order], layer.bias[order])
        layers[place + 1] = Dense(following.kernel[order], following.bias)
    return DenseChain(tuple(layers))


def _pairing(kernel: Float64) -> NDArray[np.intp]:
    """Return an order of a kernel's inputs [inputs]: of random swaps, those that lower the sum of squared scales."""
    random = np.random.default_rng(0)
    order = np.arange(len(kernel))
    floor, tiny = smallest_scales(kernel, bounded=False), np.finfo(np.float32).tiny
    signed = np.maximum(np.concatenate([kernel, -kernel], axis=1), 0)
    pairs = signed[0::2] + signed[1::2]
    highest = pairs.max(axis=0)

    def cost(highest: Float64) -> float:
        bound = np.maximum(highest[: len(floor)], highest[len(floor) :]) / PAIR_LIMIT
        return float(np.sum((np.maximum(np.maximum(floor, bound), tiny) / floor) ** 2))

    least = cost(highest)
    for first, second in random.integers(0, len(order), (PAIRING_SWAPS, 2)):
        order[[first, second]] = order[[second, first]]
        places = np.array([first // 2, second // 2])
        replaced = signed[order[2 * places]] + signed[order[2 * places + 1]]
        now_highest = _highest_with(pairs, highest, places, replaced)
        now = cost(now_highest)
        if now > least:
            order[[first, second]] = order[[second, first]]
        else:
            pairs[places], highest, least = replaced, now_highest, now
    return order


def _highest_with(pairs: Float64, highest: Float64, places: NDArray[np.intp], replaced: Float64) -> Float64:
    """Return the column maxima of pairs [n, columns] with two rows replaced, given the maxima before."""
    result = np.maximum(highest, replaced.max(axis=0))
    lost = np.flatnonzero((pairs[places] == highest).any(axis=0))
    if len(lost):
        columns = pairs[:, lost]
        columns[places] = replaced[:, lost]
        result[lost] = columns.max(axis=0)
    return result


def _rounded_layer(layer: Dense, hessian: Hessian, input_scale: np.float32) -> IntegerLayer:
    """Round a layer's kernel and bias."""
    kernel = round_kernel(layer.kernel, hessian)
    return IntegerLayer(kernel, integer_bias(layer.bias, input_scale * kernel.scales), input_scale)


@dataclass(frozen=True)
class _Later:
    """Finishes the integers of a chain whose first layer is rounded: each layer is fitted to those before it."""

    origin: DenseChain
    hidden: list[Float64]  # activations of the float chain on the calibration images, float64 [n, units] a layer
    first: IntegerLayer
    sums: NDArray[np.int32]  # of the first layer on the calibration images
    weights: Float64  # of the images, float64 [n]

    def finish(self, coverage: float) -> IntegerMlp:
        """Return all layers' integers; a share of each layer's largest activation fits into uint8."""
        layers, sums = [self.first], self.sums
        for layer, activations in zip(self.origin.layers[1:], self.hidden, strict=True):
            scale = np.float32(round_scale(activations.max() * coverage / ACTIVATION_LIMIT))
            inputs = layers[-1].quantized(sums, scale)
            target = activations @ layer.kernel + layer.bias
            layers.append(_fitted_layer(layer, inputs, scale, target, self.weights))
            sums = layers[-1].sums(inputs)
        return IntegerMlp(tuple(layers))


def _fitted_layer(
    layer: Dense, inputs: NDArray[np.uint8], scale: np.float32, target: Float64, weights: Float64
) -> IntegerLayer:
    """Return the integers of a layer refitted to its quantized inputs, to give `target`, float64 [n, outputs]."""
    values = inputs * np.float64(scale)
    hessian = prepare_hessian(_weighted_gram(inputs, weights))
    kernel = round_kernel(_refitted(layer, values, target, weights), hessian)
    rounded = values @ (kernel.values * kernel.scales.astype(np.float64))
    bias = np.average(target - rounded, axis=0, weights=weights)
    return IntegerLayer(kernel, integer_bias(bias, scale * kernel.scales), scale)


def _refitted(layer: Dense, values: Float64, target: Float64, weights: Float64) -> Float64:
    """Return the kernel fitted to inputs [n, inputs] so that their sums stay at `target`, [n, outputs].

    Ridge regression of the remaining error with image weights [n], by the normal equations.
    """
    inputs = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    weighted = inputs * weights[:, None]
    gram = weighted.T @ inputs
    missing = target - (values @ layer.kernel + layer.bias)
    ridge = RIDGE * np.diag(gram).mean() * np.eye(len(gram))
    change = np.linalg.solve(gram + ridge, weighted.T @ missing)
    return np.asarray(layer.kernel + change[:-1], np.float64)


def _weighted_gram(inputs: NDArray[np.uint8], weights: Float64) -> Float64:
    """Return X^T diag(w) X of uint8 inputs X [n, width] and weights w [n]: float64 [width, width]."""
    wide = inputs.astype(np.float64)
    return (wide * weights[:, None]).T @ wide
