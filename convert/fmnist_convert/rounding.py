"""Rounding weights to int8: a kernel so that its layer's output stays, then the first layer so that labels stay.

x86 CPUs without VNNI multiply uint8 activations with int8 weights in adjacent pairs and add the two products in a
saturating 16-bit integer. With relu(w[2k]) + relu(w[2k+1]) <= 128, and the same for -w, the largest pair sum is
128 * 255 = 32640 <= 32767, so nothing saturates and every CPU computes the same integers. Weights of -128 overflow on
Arm CPUs without dot product instructions, so the range is -127..127.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.dense_chain import LEVELS, DenseChain, Float64
from fmnist_convert.integer_mlp import IntegerKernel, IntegerMlp, integer_bias
from fmnist_convert.progress import SILENT, Progress

WEIGHT_LIMIT: Final = 127
PAIR_LIMIT: Final = 128
# Share of the mean diagonal added to the Hessian before inversion (Frantar et al. 2022, GPTQ, section 3.3).
DAMPING: Final = 0.01
# Scales tried for each output channel, relative to the smallest that holds the bounds without clipping.
SCALE_FACTORS: Final = (0.9, 0.95, 1.0)
DESCENT_PASSES: Final = 10  # over all weights, fewer where nothing moves; more gain little
BLOCK: Final = 56  # weights that are rounded before their errors reach the weights outside the block; even
SCALE_BITS: Final = 16  # significant bits of a scale: few enough to be the same on every CPU


def round_scale(scale: Float64 | float) -> Float64:
    """Round positive scales to 16 significant bits (float32 represents them exactly)."""
    fraction, exponent = np.frexp(np.asarray(scale, np.float64))
    return np.asarray(np.ldexp(np.rint(np.ldexp(fraction, SCALE_BITS)), exponent - SCALE_BITS), np.float64)


def pair_sums(kernel: NDArray[np.generic]) -> Float64:
    """Return, for each output channel, the largest sum of same-sign weights in a pair of adjacent inputs.

    `kernel` is [inputs, outputs] with an even number of inputs; the result is float64 [outputs].
    """
    wide = kernel.astype(np.float64)
    sums = [np.maximum(side[0::2], 0) + np.maximum(side[1::2], 0) for side in (wide, -wide)]
    return np.asarray(np.maximum(sums[0].max(axis=0), sums[1].max(axis=0)), np.float64)


def smallest_scales(kernel: Float64, *, bounded: bool = True) -> Float64:
    """Return the smallest scale of each output channel that holds the bounds without clipping."""
    scales = np.abs(kernel).max(axis=0) / WEIGHT_LIMIT
    if bounded:
        scales = np.maximum(scales, pair_sums(kernel) / PAIR_LIMIT)
    return np.maximum(scales, np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Hessian:
    """X^T X of a layer's inputs X on calibration images, and what rounding derives from it once."""

    matrix: Float64  # float64 [inputs, inputs]
    order: NDArray[np.intp]  # inputs in the order of rounding: pairs (2k, 2k+1) together, the busiest pair first
    upper: Float64  # the upper Cholesky factor of the damped inverse, in that order


def prepare_hessian(matrix: Float64) -> Hessian:
    """Return X^T X, float64 [inputs, inputs], ready for `round_kernel`."""
    order = _busiest_pairs_first(np.diag(matrix))
    damping = max(DAMPING * np.diag(matrix).mean(), np.finfo(np.float32).tiny)
    damped = matrix[np.ix_(order, order)] + damping * np.eye(len(order))
    return Hessian(matrix, order, np.linalg.cholesky(np.linalg.inv(damped)).T)


def round_kernel(kernel: Float64, hessian: Hessian) -> IntegerKernel:
    """Round a float kernel [inputs, outputs] to int8, choosing scales and integers for the least output error.

    Each output channel takes the scale with the smallest expected squared error e^T H e, e being the weight error.
    """
    candidates = []
    for factor in SCALE_FACTORS:
        scales = round_scale(smallest_scales(kernel) * factor)
        values = compensated_rounding(kernel, hessian, scales)
        candidates.append((values, scales, output_error(kernel - values * scales, hessian.matrix)))
    best = np.argmin([error for _, _, error in candidates], axis=0)
    channels = np.arange(kernel.shape[1])
    values = np.stack([values for values, _, _ in candidates])[best, :, channels].T
    scales = np.stack([scales for _, scales, _ in candidates])[best, channels]
    values = descend(kernel, hessian.matrix, scales, values)
    return IntegerKernel(np.ascontiguousarray(values.astype(np.int8)), scales.astype(np.float32))


def output_error(error: Float64, hessian: Float64) -> Float64:
    """Return e^T H e for each column e of a weight error [inputs, outputs]: float64 [outputs]."""
    return np.asarray(np.einsum("io,io->o", error, hessian @ error), np.float64)


def compensated_rounding(kernel: Float64, hessian: Hessian, scales: Float64) -> Float64:
    """Round weight by weight; the weights still to come compensate for what a rounding adds to the output.

    GPTQ (Frantar et al. 2022, algorithm 1) with two differences: inputs come in pairs, the busiest first, and the
    second of a pair is clamped to what the first leaves of the pair bound. As there, weights outside a block get its
    errors in one product. Returns integers as float64 [inputs, outputs].
    """
    remaining, upper = kernel[hessian.order], hessian.upper
    rounded = np.zeros_like(remaining)
    for start in range(0, len(remaining), BLOCK):
        end = min(start + BLOCK, len(remaining))
        errors = np.zeros((end - start, remaining.shape[1]))
        for place in range(start, end):
            limit_low, limit_high = limits(rounded[place - 1] if place % 2 else None)
            rounded[place] = np.clip(np.rint(remaining[place] / scales), limit_low, limit_high)
            errors[place - start] = (remaining[place] - rounded[place] * scales) / upper[place, place]
            remaining[place + 1 : end] -= np.outer(upper[place, place + 1 : end], errors[place - start])
        remaining[end:] -= upper[start:end, end:].T @ errors
    result = np.empty_like(rounded)
    result[hessian.order] = rounded
    return result


def descend(kernel: Float64, hessian: Float64, scales: Float64, values: Float64) -> Float64:
    """Move single weights to their best integer within the bounds until none moves.

    Coordinate descent on e^T H e; the best step of weight i is (H e)_i / (H_ii * scale).
    """
    values = values.copy()
    gradient = hessian @ (kernel - values * scales)
    curvature = np.maximum(np.diag(hessian), 1e-9)
    for _ in range(DESCENT_PASSES):
        moved = 0
        for place in range(len(values)):
            wanted = np.rint(values[place] + gradient[place] / (curvature[place] * scales))
            step = np.clip(wanted, *limits(values[place ^ 1])) - values[place]
            columns = np.flatnonzero(step)
            if len(columns):
                values[place] += step
                gradient[:, columns] -= np.outer(hessian[:, place], (step * scales)[columns])
                moved += len(columns)
        if not moved:
            break
    return values


def _busiest_pairs_first(energy: Float64) -> NDArray[np.intp]:
    """Order inputs by the energy of their pair, keeping pairs (2k, 2k+1) together."""
    pairs = np.argsort(-(energy[0::2] + energy[1::2]), kind="stable")
    return np.stack([2 * pairs, 2 * pairs + 1], axis=1).ravel()


def limits(other_of_pair: Float64 | None) -> tuple[Float64 | int, Float64 | int]:
    """Return the least and the largest value of a weight: the whole range, or what the other of its pair leaves."""
    if other_of_pair is None:
        return -WEIGHT_LIMIT, WEIGHT_LIMIT
    low = np.maximum(-WEIGHT_LIMIT, np.maximum(-other_of_pair, 0) - PAIR_LIMIT)
    high = np.minimum(WEIGHT_LIMIT, PAIR_LIMIT - np.maximum(other_of_pair, 0))
    return low, high


# An image weighs exp(-margin / MARGIN_SCALE). Labels changed among the 33,000 choice images of one training:
# no weights 67, 2 for the last layer alone 58, 2 for both 57, 1 for both 52 (with more error elsewhere).
MARGIN_SCALE: Final = 2.0
# The refinement leaves out images that weigh less: three of ten, under 1 % of the weight together. Labels changed of
# 20,000 on validation images of four networks: no refinement 54, down to 0.1 52, down to 0.02 42.
LEAST_WEIGHT: Final = 0.02
# How much each unit's own output still counts beside the margin. Labels changed of 10,000 on validation images of two
# networks: no refinement 31, 1 18, 4 25. With 0 it overfits.
PRIOR: Final = 1.0
MOST_STEPS: Final = 400  # for one unit; about 300 are made
MOST_UNITS: Final = 128  # that are refined: those that contribute most
CHUNK: Final = 4096  # images at a time, for memory and for sums of float32
COLUMNS: Final = 32  # of the Hessian, computed together: a unit moves 67 of its 784 weights
GATHERING_THREADS: Final = 2


def refine(
    chain: DenseChain, integers: IntegerMlp, images: NDArray[np.uint8], progress: Progress = SILENT
) -> IntegerMlp:
    """Return the integers of `chain` with weights of the first layer moved to keep the margin on uint8 [n, 28, 28].

    Rounding keeps each layer's output, but only the label matters, which depends on the margin between two logits:
    best less second. A step of one weight can undo what the rounding of others, in any layer, did to it. Coordinate
    descent in one pass over the units, those that contribute most first; an image counts the more, the smaller its
    margin. Scales and all biases but the last stay, and the pair bound holds.
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
    """The images, and what the network computes on them so far."""

    levels: NDArray[np.uint8]  # uint8 [784, n]: grey levels
    weights: Float64  # float64 [n], with a mean of 1
    sums: Float64  # float64 [units, n]: what the first layer gives before ReLU, by integer kernel and bias
    shares: Float64  # float64 [units, n]: what one of each unit's activation adds to the margin
    error: Float64  # float64 [n]: by how much the margin is too large

    @property
    def hidden(self) -> Float64:
        """float64 [units, n]: activations, not rounded."""
        return np.maximum(self.sums, 0)


def _state(integers: IntegerMlp, images: NDArray[np.uint8], target: Float64) -> _State:
    """Return what a rounded network computes on the images, and by how much it misses the margins of the target."""
    rounded, first = integers.as_floats(), integers.layers[0]
    best, second = _two_best(target).T
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
        progress.count(start, len(images))
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
    """Move one unit's integers (float64 [784], in place), each time the one that gains most.

    `prior` is the Hessian of all inputs, and its product with the present error of the unit's weights.
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
    """Return the levels of some images, float32 [784, n]; on one core gathering takes longer than the arithmetic."""
    result = np.empty((len(levels), len(active)), np.float32)

    def gather(rows: slice) -> None:
        result[rows] = levels[rows].take(active, axis=1)

    share = len(levels) // GATHERING_THREADS
    list(pool.map(gather, [slice(start, start + share) for start in range(0, len(levels), share)]))
    return result


class _Columns:
    """The columns of X diag(s) X^T + prior, X being pixels in 0..1, computed when asked for: few of the 784 ever are.

    Products are float32, summed over chunks of images in float64; float64 throughout finds the same integers.
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
    """Update sums and error for the steps that a unit's integers took, float64 [784]."""
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


def _two_best(logits: Float64) -> NDArray[np.intp]:
    """Return the best and the second class of each row of logits [n, 10]: intp [n, 2]."""
    return np.argsort(-logits, axis=1)[:, :2]


def image_weights(logits: Float64) -> Float64:
    """Return how much each image counts, float64 [n] in 0..1: much where the margin of its logits [n, 10] is small."""
    ordered = np.sort(logits, axis=1)
    return np.asarray(np.exp((ordered[:, -2] - ordered[:, -1]) / MARGIN_SCALE), np.float64)


def margin_error(logits: NDArray[np.floating[Any]], target: Float64) -> float:
    """Return the weighted mean squared change of the margin of the two best target logits, [n, 10] each."""
    best = _two_best(target)
    margins = [np.take_along_axis(values, best, axis=1) @ [1.0, -1.0] for values in (logits, target)]
    return float(np.average((margins[0] - margins[1]) ** 2, weights=image_weights(target)))
