"""From a dense chain's floats to integers: equalize and pair hidden units, calibrate, round, refine.

What is to be kept is the label. So an image counts the more, the smaller its logit margin is (best logit less second),
and every choice is made by one rule: the least weighted squared error of that margin, on training images that the
calibration itself has not seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.dense_chain import LEVELS, Dense, DenseChain, Float64
from fmnist_convert.integer_mlp import (
    ACTIVATION_LIMIT,
    IMAGE_SCALE,
    IntegerLayer,
    IntegerMlp,
    integer_bias,
)
from fmnist_convert.progress import SILENT, Progress
from fmnist_convert.rounding import (
    PAIR_LIMIT,
    WEIGHT_LIMIT,
    Hessian,
    IntegerKernel,
    limits,
    prepare_hessian,
    round_kernel,
    round_scale,
    smallest_scales,
)

# Images 0, 5, 10, ... of the training split calibrate; these and the three behind each refine, mirrored as well;
# 4, 9, 14, ... choose among the results.
CALIBRATION: Final = np.arange(0, 55_000, 5)
REFINEMENT: Final = np.concatenate([CALIBRATION + offset for offset in range(4)])
CHOICE: Final = CALIBRATION + 4
# An image weighs exp(-margin / MARGIN_SCALE). Tried on one training, with the labels changed on the 33,000 choice
# images: no weights 67, 2 for the last layer alone 58, 2 for both 57, 1 for both 52 (with more error elsewhere).
MARGIN_SCALE: Final = 2.0
# How far units of different range are brought together before rounding: 0 not at all, 1 to one range.
# ReLU lets a unit be scaled up and its outgoing weights down without changing the network
# (Nagel et al. 2019, section 4.1).
EQUALIZATIONS: Final = (0.3, 0.4, 0.5, 0.6, 0.75)
MOST_WEIGHTS: Final = 600_000  # of all trials together: a wide chain is tried with fewer exponents, the first ones
# Share of the largest hidden activation that still fits into uint8; what lies above is clipped.
COVERAGES: Final = (1.0, 0.9, 0.8)
PAIRING_SWAPS: Final = 20_000  # tries of the search for pairs; it reaches its floor (no loss by the bound) in fewer
RIDGE: Final = 1e-4  # of the mean diagonal; keeps the refit of a layer well conditioned
# Images that weigh less than this are left out of the refinement: three of ten, which weigh under 1 % together. On
# validation images of four networks, labels changed of 20,000: no refinement 54, down to 0.1 52, down to 0.02 42.
LEAST_WEIGHT: Final = 0.02
# How much each unit's own output still counts beside the margin. On validation images of two networks, labels changed
# of 10,000: no refinement 31, 1 18, 4 25. With 0 the images in hand were fitted, and others lost.
PRIOR: Final = 1.0
MOST_STEPS: Final = 400  # for one unit; three quarters of them are made
MOST_UNITS: Final = 128  # that are refined: those that weigh most
CHUNK: Final = 4096  # images at a time, for memory and for sums of float32
COLUMNS: Final = 32  # of the Hessian, computed together: a unit moves 67 of its 784 weights
GATHERING_THREADS: Final = 2


@dataclass(frozen=True)
class Quantized:
    """Integers, and how they were chosen."""

    network: IntegerMlp
    origin: DenseChain
    """The float network, equalized, with its units in the order of the integers."""
    equalization: float
    """The exponent taken from EQUALIZATIONS."""
    coverage: float
    """The share taken from COVERAGES."""
    refined: bool
    """Whether the first kernel was refined: not where that raised the error."""
    margin_error: float
    """Weighted mean squared error of the logit margin, on the choice images."""


def quantize_mlp(chain: DenseChain, images: NDArray[np.uint8], progress: Progress = SILENT) -> Quantized:
    """Quantize on the images of the training split, uint8 [55000, 28, 28], the constants above telling what for."""
    choice = with_mirrored(images[CHOICE])
    rounded = best_rounding(even(chain), images[CALIBRATION], choice, progress)
    if len(chain.layers) == 1:
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

    Both must come from training data alone. Nothing is refined.
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
        behind = _Behind(origin, origin.hidden(calibration), first, first.sums(pixels), weights)
        choice_sums = first.sums(choice_pixels)
        for coverage in coverages:
            progress.count(len(results), len(exponents) * len(coverages))
            integers = behind.finish(coverage)
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


def two_best(logits: Float64) -> NDArray[np.intp]:
    """Return the best and the second class of each row of logits [n, 10]: intp [n, 2]."""
    return np.argsort(-logits, axis=1)[:, :2]


def image_weights(logits: Float64) -> Float64:
    """Return how much each image counts, float64 [n] in 0..1: much where the margin of its logits [n, 10] is small."""
    ordered = np.sort(logits, axis=1)
    return np.asarray(np.exp((ordered[:, -2] - ordered[:, -1]) / MARGIN_SCALE), np.float64)


def margin_error(logits: NDArray[np.floating[Any]], target: Float64) -> float:
    """Return the weighted mean squared change of the margin of the two best target logits, [n, 10] each."""
    best = two_best(target)
    margins = [np.take_along_axis(values, best, axis=1) @ [1.0, -1.0] for values in (logits, target)]
    return float(np.average((margins[0] - margins[1]) ** 2, weights=image_weights(target)))


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
    """Return the same function with its hidden units in an order in which the pair bound costs least.

    Which units stand beside each other is free, and the bound holds for neighbours: pairs are searched for in which
    the next layer's weights do not add up.
    """
    layers = list(chain.layers)
    for place in range(len(layers) - 1):
        order = _pairing(layers[place + 1].kernel)
        layer, following = layers[place : place + 2]
        layers[place] = Dense(layer.kernel[:, order], layer.bias[order])
        layers[place + 1] = Dense(following.kernel[order], following.bias)
    return DenseChain(tuple(layers))


def _pairing(kernel: Float64) -> NDArray[np.intp]:
    """Return an order of a kernel's inputs [inputs]: random swaps that lessen the sum of squared scales are kept."""
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
    """Round a layer's kernel, and its bias as it is."""
    kernel = round_kernel(layer.kernel, hessian)
    return IntegerLayer(kernel, integer_bias(layer.bias, input_scale * kernel.scales), input_scale)


@dataclass(frozen=True)
class _Behind:
    """Finishes the integers of a chain whose first layer is rounded: each layer is fitted to what comes before."""

    origin: DenseChain
    hidden: list[Float64]
    """Activations of the float chain on the calibration images, float64 [n, units] a layer."""
    first: IntegerLayer
    sums: NDArray[np.int32]
    """Of the first layer on the calibration images."""
    weights: Float64
    """Of the images, float64 [n]"""

    def finish(self, coverage: float) -> IntegerMlp:
        """Return all layers' integers, a share of each largest activation fitting into uint8."""
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
    """Return the integers of a layer refitted to its quantized inputs, so that its sums stay float64 [n, outputs]."""
    values = inputs * np.float64(scale)
    hessian = prepare_hessian(_weighted_gram(inputs, weights))
    kernel = round_kernel(_refitted(layer, values, target, weights), hessian)
    rounded = values @ (kernel.values * kernel.scales.astype(np.float64))
    bias = np.average(target - rounded, axis=0, weights=weights)
    return IntegerLayer(kernel, integer_bias(bias, scale * kernel.scales), scale)


def _refitted(layer: Dense, values: Float64, target: Float64, weights: Float64) -> Float64:
    """Return the kernel fitted to inputs [n, inputs] so that the sums [n, outputs] stay.

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


def refine(
    chain: DenseChain, integers: IntegerMlp, images: NDArray[np.uint8], progress: Progress = SILENT
) -> IntegerMlp:
    """Return the integers of `chain` with weights of the first layer moved to keep the margin on uint8 [n, 28, 28].

    Rounding keeps each layer's output. What counts is less: the label, which hangs on the margin of two logits. A step
    of a weight can take away what the rounding of other weights, of any layer, has put into it. One pass over the
    units, those that weigh most first: coordinate descent. Scales and all but the last bias stay; the pair bound holds
    as before; the last bias is fitted again.
    """
    progress.step("refining the first layer")
    target = _logits(chain, images, progress)
    kept = image_weights(target) >= LEAST_WEIGHT
    chosen, target = images[kept], target[kept]
    first = integers.layers[0]
    state = _state(integers, chosen, target)
    values = first.kernel.values.T.astype(np.float64)
    gram = _first_gram(state)
    order = np.argsort(-np.mean((state.shares * state.hidden) ** 2, axis=1))[:MOST_UNITS]
    with ThreadPoolExecutor(GATHERING_THREADS) as pool:
        for done, unit in enumerate(order):
            progress.count(done, len(order))
            scale = np.float64(first.kernel.scales[unit])
            off = gram @ (values[unit] * scale - chain.layers[0].kernel[:, unit])
            before = values[unit].copy()
            _move_weights(state, unit, values[unit], scale, (gram, off), pool)
            _follow(state, unit, values[unit] - before, scale)
    progress.count(len(order), len(order))
    kernel = IntegerKernel(np.ascontiguousarray(values.T.astype(np.int8)), first.kernel.scales)
    moved = IntegerMlp((replace(first, kernel=kernel), *integers.layers[1:]))
    return _with_fitted_bias(moved, chosen, target, state.weights)


@dataclass(eq=False)
class _State:
    """The images, and where the network stands on them."""

    levels: NDArray[np.uint8]
    """uint8 [784, n]: grey levels"""
    weights: Float64
    """float64 [n], with a mean of 1"""
    sums: Float64
    """float64 [units, n]: what the first layer gives before ReLU, by integer kernel and bias"""
    shares: Float64
    """float64 [units, n]: what one of each unit's activation adds to the margin"""
    error: Float64
    """float64 [n]: by how much the margin is too large"""

    @property
    def hidden(self) -> Float64:
        """float64 [units, n]: activations, not rounded."""
        return np.maximum(self.sums, 0)


def _state(integers: IntegerMlp, images: NDArray[np.uint8], target: Float64) -> _State:
    """Return where a rounded network stands on the images, and by how much it misses the margins of the target."""
    rounded, first = integers.as_floats(), integers.layers[0]
    best, second = two_best(target).T
    rows = np.arange(len(images))
    margin = target[rows, best] - target[rows, second]
    pixels, scales = images.reshape(len(images), -1), first.kernel.scales.astype(np.float64)
    sums = (first.sums(pixels) - first.bias) * (scales / LEVELS) + rounded.layers[0].bias
    hidden = [np.maximum(sums, 0)]
    for layer in rounded.layers[1:-1]:
        hidden.append(np.maximum(hidden[-1] @ layer.kernel + layer.bias, 0))
    last = rounded.layers[-1]
    shares = (last.kernel[:, best] - last.kernel[:, second]).T
    error = np.sum(hidden[-1] * shares, axis=1) + last.bias[best] - last.bias[second] - margin
    for layer, activations in zip(rounded.layers[-2:0:-1], hidden[:0:-1], strict=True):
        shares = (shares * (activations > 0)) @ layer.kernel.T
    weights = image_weights(target)
    levels = np.ascontiguousarray(images.reshape(len(images), -1).T)
    return _State(levels, weights / weights.mean(), sums.T.copy(), np.ascontiguousarray(shares.T), error)


def _logits(chain: DenseChain, images: NDArray[np.uint8], progress: Progress) -> Float64:
    """Return the logits of many images, float64 [n, 10], a chunk at a time."""
    parts = []
    for start in range(0, len(images), CHUNK):
        progress.count(0, 1)
        parts.append(chain.logits(images[start : start + CHUNK]))
    return np.concatenate(parts)


def _first_gram(state: _State) -> Float64:
    """Return X^T diag(w) X of all pixels X, 0..1, with the image weights w: float64 [784, 784]."""
    gram = np.zeros((len(state.levels), len(state.levels)))
    rooted = np.sqrt(state.weights) / LEVELS
    for start in range(0, len(rooted), CHUNK):
        part = state.levels[:, start : start + CHUNK] * rooted[start : start + CHUNK]
        gram += part @ part.T
    return gram


def _move_weights(
    state: _State,
    unit: int,
    values: Float64,
    scale: np.float64,
    prior: tuple[Float64, Float64],
    pool: ThreadPoolExecutor,
) -> None:
    """Move one unit's integers (float64 [784], changed in place), each time the one that gains most.

    `prior` is the Hessian of all inputs, and its product with the error that the unit's weights have by now.
    """
    active = np.flatnonzero(state.sums[unit] > 0)
    shares, weights = state.shares[unit, active], state.weights[active]
    strength = weights * shares**2
    part = PRIOR * strength.sum() / state.weights.sum()
    hessian = _Columns(_gathered(state.levels, active, pool), strength, part * prior[0])
    gradient = hessian.product(weights * shares * state.error[active]) + part * prior[1]
    for _ in range(MOST_STEPS):
        low, high = limits(values.reshape(-1, 2)[:, ::-1].ravel())
        step = np.where(gradient > 0, -1.0, 1.0)
        gain = scale * (2 * np.abs(gradient) - scale * hessian.diagonal)
        gain[(values + step < low) | (values + step > high)] = 0
        place = int(np.argmax(gain))
        if gain[place] <= 0:
            return
        values[place] += step[place]
        gradient += step[place] * scale * hessian.column(place, gain)


def _gathered(levels: NDArray[np.uint8], active: NDArray[np.intp], pool: ThreadPoolExecutor) -> NDArray[np.float32]:
    """Return the levels of some images, float32 [784, n]; gathering takes longer than the arithmetic on one core."""
    result = np.empty((len(levels), len(active)), np.float32)

    def gather(rows: slice) -> None:
        result[rows] = levels[rows].take(active, axis=1)

    share = len(levels) // GATHERING_THREADS
    list(pool.map(gather, [slice(start, start + share) for start in range(0, len(levels), share)]))
    return result


class _Columns:
    """X diag(s) X^T + prior of pixels X, 0..1, by columns as they are asked for: few of the 784 ever are.

    Products are of float32, chunks of images summed in float64; float64 throughout finds the same integers.
    """

    def __init__(self, levels: NDArray[np.float32], strength: Float64, prior: Float64) -> None:
        self._levels, self._prior = levels, prior
        self._strength = (strength / LEVELS**2).astype(np.float32)
        self._columns: dict[int, Float64] = {}
        self.diagonal = self._summed(lambda part, chunk: (part * part) @ self._strength[chunk]) + np.diag(prior)

    def product(self, pull: Float64) -> Float64:
        """Return X pull, float64 [784], for one number an image, float64 [n]."""
        scaled = (pull / LEVELS).astype(np.float32)
        return self._summed(lambda part, chunk: part @ scaled[chunk])

    def column(self, place: int, gain: Float64) -> Float64:
        """Return one column, float64 [784]; those that are likely to be next, by their gain, are computed with it."""
        if place not in self._columns:
            likely = [one for one in np.argsort(-gain).tolist() if one not in self._columns]
            places = [place, *[one for one in likely if one != place][: COLUMNS - 1]]
            scaled = self._levels[places] * self._strength
            found = self._summed(lambda part, chunk: part @ scaled[:, chunk].T) + self._prior[:, places]
            self._columns |= dict(zip(places, np.ascontiguousarray(found.T), strict=True))
        return self._columns[place]

    def _summed(self, product: Callable[[NDArray[np.float32], slice], NDArray[Any]]) -> Float64:
        chunks = [slice(start, start + CHUNK) for start in range(0, len(self._strength), CHUNK)]
        return np.sum([product(self._levels[:, chunk], chunk) for chunk in chunks], axis=0, dtype=np.float64)


def _follow(state: _State, unit: int, steps: Float64, scale: np.float64) -> None:
    """Bring sums and error up to date with the steps that a unit's integers went, float64 [784]."""
    moved = np.flatnonzero(steps)
    before = np.maximum(state.sums[unit], 0)
    change = steps[moved].astype(np.float32) @ state.levels[moved].astype(np.float32)  # exact: below 400 * 255
    state.sums[unit] += change * (scale / LEVELS)
    state.error += state.shares[unit] * (np.maximum(state.sums[unit], 0) - before)


def _with_fitted_bias(integers: IntegerMlp, images: NDArray[np.uint8], target: Float64, weights: Float64) -> IntegerMlp:
    """Return the integers with the last bias that leaves no mean error in the logits."""
    last = integers.layers[-1]
    without = integers.logits(images) - last.bias * last.steps.astype(np.float64)
    bias = np.average(target - without, axis=0, weights=weights)
    return IntegerMlp((*integers.layers[:-1], replace(last, bias=integer_bias(bias, last.steps))))
