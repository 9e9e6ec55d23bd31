"""Rounding a kernel to int8 so that no CPU's 16-bit pair sums saturate and the layer's output hardly moves.

x86 CPUs without VNNI multiply uint8 activations with int8 weights in adjacent pairs and add the two products
in a saturating 16-bit integer. With relu(w[2k]) + relu(w[2k+1]) <= 128, and the same for -w, the largest pair
sum is 128 * 255 = 32640 <= 32767, so nothing ever saturates and every CPU computes the same integers.
Weights of -128 overflow on Arm CPUs without dot product instructions, so the range is -127..127.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

WEIGHT_LIMIT: Final = 127
PAIR_LIMIT: Final = 128
# Share of the mean diagonal added to the Hessian before inversion (Frantar et al. 2022, GPTQ, section 3.3).
DAMPING: Final = 0.01
# Scales tried for each output channel, relative to the smallest one that holds the bounds without clipping.
SCALE_FACTORS: Final = (0.9, 0.95, 1.0)
# Passes of the descent over all weights; it stops earlier where nothing moves any more. Ten leave little to gain.
DESCENT_PASSES: Final = 10
BLOCK: Final = 56  # weights that are rounded before the others hear of it, an even number
SCALE_BITS: Final = 16  # scales are rounded to so many significant bits, so that they are equal everywhere


@dataclass(frozen=True)
class IntegerKernel:
    """An int8 kernel with one scale for each output channel: kernel = values * scales."""

    values: NDArray[np.int8]
    """int8 [inputs, outputs], within the bounds above."""
    scales: NDArray[np.float32]
    """float32 [outputs], positive, 16 significant bits."""


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


def keeps_bounds(values: NDArray[np.int8]) -> bool:
    """Tell whether an int8 kernel gives the same integers on every CPU."""
    return bool(values.min() >= -WEIGHT_LIMIT and pair_sums(values).max() <= PAIR_LIMIT)


def smallest_scales(kernel: Float64, *, bounded: bool = True) -> Float64:
    """Return the smallest scale of each output channel that holds the bounds without clipping."""
    scales = np.abs(kernel).max(axis=0) / WEIGHT_LIMIT
    if bounded:
        scales = np.maximum(scales, pair_sums(kernel) / PAIR_LIMIT)
    return np.maximum(scales, np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Hessian:
    """X^T X of a layer's inputs X on calibration images, and what rounding derives from it once."""

    matrix: Float64
    """float64 [inputs, inputs]"""
    order: NDArray[np.intp]
    """Inputs in the order of rounding: pairs (2k, 2k+1) together, the busiest pair first."""
    upper: Float64
    """The upper Cholesky factor of the damped inverse, in that order."""


def prepare_hessian(matrix: Float64) -> Hessian:
    """Return X^T X, float64 [inputs, inputs], ready for `round_kernel`."""
    order = _busiest_pairs_first(np.diag(matrix))
    damping = max(DAMPING * np.diag(matrix).mean(), np.finfo(np.float32).tiny)
    damped = matrix[np.ix_(order, order)] + damping * np.eye(len(order))
    return Hessian(matrix, order, np.linalg.cholesky(np.linalg.inv(damped)).T)


def round_kernel(kernel: Float64, hessian: Hessian) -> IntegerKernel:
    """Round a float kernel [inputs, outputs] to int8, choosing scales and roundings for the least output error.

    For each output channel the scale with the smallest expected squared error e^T H e is taken, where e is the weight
    error.
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
    """Round weight by weight; what a rounding adds to the output, the weights still to come take away.

    After GPTQ (Frantar et al. 2022, algorithm 1), with two differences: inputs come in pairs, busiest pair
    first, and the second of a pair is clamped to what the first leaves of the pair bound. As there, weights beyond a
    block get its errors in one product. Returns integers as float64 [inputs, outputs].
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
    """Move single weights to their best integer within the bounds, until none moves: the error only falls.

    Coordinate descent on e^T H e, the best step of weight i being (H e)_i / (H_ii * scale).
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
    """Return the least and the largest that a weight may be: the whole range, or what the other of its pair leaves."""
    if other_of_pair is None:
        return -WEIGHT_LIMIT, WEIGHT_LIMIT
    low = np.maximum(-WEIGHT_LIMIT, np.maximum(-other_of_pair, 0) - PAIR_LIMIT)
    high = np.minimum(WEIGHT_LIMIT, PAIR_LIMIT - np.maximum(other_of_pair, 0))
    return low, high
