"""Refining a rounded chain: single weights of its first layer move to keep the margin that the label hangs on.

What is to be kept is the label. So an image counts the more, the smaller its logit margin is: best logit less second.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.dense_chain import LEVELS, DenseChain, Float64
from fmnist_convert.integer_mlp import IntegerMlp, integer_bias
from fmnist_convert.progress import SILENT, Progress
from fmnist_convert.rounding import IntegerKernel, limits

# An image weighs exp(-margin / MARGIN_SCALE). Tried on one training, with the labels changed on the 33,000 choice
# images: no weights 67, 2 for the last layer alone 58, 2 for both 57, 1 for both 52 (with more error elsewhere).
MARGIN_SCALE: Final = 2.0
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
