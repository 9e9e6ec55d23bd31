"""Moving single integers of the hidden kernel so that the gap between the two best logits is what it was.

Rounding keeps each layer's output. What counts is less: the label, which hangs on the gap of two logits. A step of a
hidden weight can take away what the rounding of other weights, of either layer, has put into that gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.ambiguity import ambiguity, two_best
from fmnist_convert.integer_network import IntegerNetwork, integer_bias
from fmnist_convert.network import PIXELS, Float64, Network
from fmnist_convert.rounding import limits

# Images that count for less than this are left out: three of ten, which weigh under 1 % together. On validation
# images of four networks, labels changed of 20,000: no refinement 54, down to 0.1 52, down to 0.02 42.
LEAST_AMBIGUITY: Final = 0.02
# How much each unit's own output still counts beside the gap. On validation images of two networks, labels changed
# of 10,000: no refinement 31, 1 18, 4 25. With 0 the images in hand were fitted, and others lost.
PRIOR: Final = 1.0
MOST_STEPS: Final = 400  # for one unit; half as many are made


@dataclass(eq=False)
class _State:
    """The images, and where the network stands on them."""

    pixels: Float64
    """float64 [n, 784], 0..1"""
    weights: Float64
    """float64 [n], with a mean of 1"""
    hidden: Float64
    """float64 [n, units]: activations by the integer kernel, not rounded"""
    shares: Float64
    """float64 [n, units]: what one of each unit's activation adds to the gap"""
    error: Float64
    """float64 [n]: by how much the gap is too large"""


def refine(network: Network, integers: IntegerNetwork, images: NDArray[np.uint8]) -> IntegerNetwork:
    """Return the integers of `network` with hidden weights moved to keep the gap on uint8 [n, 28, 28] images.

    One pass over the units, those that weigh most first. Scales, the hidden bias and the last kernel stay; the pair
    bound holds as before; the last bias is fitted again.
    """
    chosen = images[ambiguity(network.logits(images)) >= LEAST_AMBIGUITY]
    target = network.logits(chosen)
    rounded = integers.as_floats()
    state = _state(rounded, chosen, target)
    values, scales = integers.hidden_kernel.values.astype(np.float64), integers.hidden_kernel.scales.astype(np.float64)
    hessian = (state.pixels * state.weights[:, None]).T @ state.pixels
    for unit in np.argsort(-np.mean((state.shares * state.hidden) ** 2, axis=0)):
        off = hessian @ (values[:, unit] * scales[unit] - network.hidden_kernel[:, unit])
        _move_weights(state, unit, values[:, unit], scales[unit], (hessian, off))
        _follow(state, unit, state.pixels @ (values[:, unit] * scales[unit]) + rounded.hidden_bias[unit])
    kernel = replace(integers.hidden_kernel, values=np.ascontiguousarray(values.astype(np.int8)))
    return _with_last_bias(replace(integers, hidden_kernel=kernel), chosen, target, state.weights)


def _state(rounded: Network, images: NDArray[np.uint8], target: Float64) -> _State:
    """Return where a rounded network stands on the images, and by how much it misses the gaps of the target logits."""
    hidden = rounded.hidden(images)
    best, second = two_best(target).T
    rows = np.arange(len(images))
    gap = target[rows, best] - target[rows, second]
    shares = (rounded.kernel[:, best] - rounded.kernel[:, second]).T
    error = np.sum(hidden * shares, axis=1) + rounded.bias[best] - rounded.bias[second] - gap
    weights = ambiguity(target)
    pixels = images.reshape(-1, PIXELS).astype(np.float64) / 255
    return _State(pixels, weights / weights.mean(), hidden, shares, error)


def _move_weights(state: _State, unit: int, values: Float64, scale: float, prior: tuple[Float64, Float64]) -> None:
    """Move one unit's integers (float64 [784], changed in place), each time the one that gains most.

    `prior` is the Hessian of all inputs, and its product with the error that the unit's weights have by now.
    """
    active = np.flatnonzero(state.hidden[:, unit] > 0)
    strength = state.weights[active] * state.shares[active, unit] ** 2
    rooted = state.pixels[active] * np.sqrt(strength)[:, None]
    part = PRIOR * strength.sum() / state.weights.sum()
    hessian = rooted.T @ rooted + part * prior[0]
    pull = state.weights[active] * state.shares[active, unit] * state.error[active]
    gradient = state.pixels[active].T @ pull + part * prior[1]
    curvature = np.diag(hessian)
    for _ in range(MOST_STEPS):
        low, high = limits(values.reshape(-1, 2)[:, ::-1].ravel())
        step = np.where(gradient > 0, -1.0, 1.0)
        gain = scale * (2 * np.abs(gradient) - scale * curvature)
        gain[(values + step < low) | (values + step > high)] = 0
        place = int(np.argmax(gain))
        if gain[place] <= 0:
            return
        values[place] += step[place]
        gradient += step[place] * scale * hessian[:, place]


def _follow(state: _State, unit: int, sums: Float64) -> None:
    """Bring activations and error up to date with a unit's new sums, float64 [n]."""
    activation = np.maximum(sums, 0)
    state.error += state.shares[:, unit] * (activation - state.hidden[:, unit])
    state.hidden[:, unit] = activation


def _with_last_bias(
    integers: IntegerNetwork, images: NDArray[np.uint8], target: Float64, weights: Float64
) -> IntegerNetwork:
    """Return the integers with the last bias that leaves no mean error in the logits."""
    steps = integers.hidden_scale * integers.kernel.scales
    without = integers.logits(images) - integers.bias * steps.astype(np.float64)
    bias = np.average(target - without, axis=0, weights=weights)
    return replace(integers, bias=integer_bias(bias, steps))
