"""Two classifiers that some CPUs compute wrongly: what the matrix must catch, if it can catch anything.

Both break a bound that conversion keeps (`fmnist_convert.rounding`). They are made from the shipped integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from fmnist_convert.integer_mlp import IntegerMlp
from fmnist_convert.rounding import WEIGHT_LIMIT, IntegerKernel

SHARE_AT_MINUS_128: Final = 0.1  # of the blocks of adjacent weights
BLOCK: Final = 16  # weights of a column; which two of them a kernel adds in 16 bits differs from kernel to kernel


def full_range(network: IntegerMlp) -> IntegerMlp:
    """Stretch each column of the first kernel to -127..127: the 16-bit pair sums of AVX2 saturate."""
    old = network.layers[0].kernel
    scales = old.scales * (np.abs(old.values).max(axis=0) / WEIGHT_LIMIT).astype(np.float32)
    values = np.rint(old.values * (old.scales / scales)).astype(np.int8)
    return _with_hidden(network, IntegerKernel(values, scales))


def minus_128(network: IntegerMlp) -> IntegerMlp:
    """Set every tenth block of adjacent weights to -128: its sums overflow where Arm CPUs have no dot products."""
    values = network.layers[0].kernel.values.copy()
    blocks = values.reshape(len(values) // BLOCK, BLOCK, -1)
    chosen = np.random.default_rng(0).random((len(blocks), values.shape[1])) < SHARE_AT_MINUS_128
    blocks.transpose(0, 2, 1)[chosen] = -128
    return _with_hidden(network, IntegerKernel(values, network.layers[0].kernel.scales))


def _with_hidden(network: IntegerMlp, kernel: IntegerKernel) -> IntegerMlp:
    """Put another first kernel in, with the bias in its steps."""
    first = network.layers[0]
    changed = replace(first, kernel=kernel)
    old, new = (layer.input_scale * layer.kernel.scales.astype(np.float64) for layer in (first, changed))
    bias = np.rint(first.bias * old / new).astype(np.int32)
    return replace(network, layers=(replace(changed, bias=bias), *network.layers[1:]))


FAULTS: Final[Mapping[str, Callable[[IntegerMlp], IntegerMlp]]] = {
    "full-range": full_range,
    "minus-128": minus_128,
}
