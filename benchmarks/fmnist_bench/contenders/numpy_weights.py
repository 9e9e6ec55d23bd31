"""The network in plain numpy, float32: what one would write by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fmnist_bench.contenders.opened import Opened, scaled


def network(weights: Path, threads: int) -> Opened:
    """Open the four arrays. The threads of numpy's BLAS are set by the environment of the process."""
    with np.load(weights) as arrays:
        first, first_bias, second, second_bias = (arrays[name] for name in ("w1", "b1", "w2", "b2"))

    def run(images: Any) -> Any:
        hidden = np.maximum(images.reshape(len(images), -1) @ first + first_bias, 0)
        logits = hidden @ second + second_bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    return Opened(run, run, scaled)
