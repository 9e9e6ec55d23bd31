"""Probabilities that mean what they say: one temperature, fitted on validation images, folded into the network.

Temperature scaling (Guo et al. 2017) divides the logits by T. Dividing the last layer's kernel and bias by T
does the same, so that every form of the model shares it and no label changes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import OUTPUT_NAME
from fmnist_train.backend import keras
from fmnist_train.scores import log_softmax

LIMITS: Final = (0.05, 20.0)  # T is sought between these; a trained network's lies near 1
STEPS: Final = 60  # bisections: the interval of ln T shrinks from 6 to below 1e-16


def logits_of(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what the network's softmax is given, float64 [n, 10], for uint8 [n, 28, 28] images.

    The float32 hidden activations are taken from the model; the last layer is computed in float64.
    """
    last = model.get_layer(OUTPUT_NAME)
    hidden = keras.Model(model.inputs, last.input).predict(images, batch_size=1000, verbose=0)
    kernel, bias = (np.asarray(weight, dtype=np.float64) for weight in last.get_weights())
    return np.asarray(hidden, dtype=np.float64) @ kernel + bias


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.uint8]) -> float:
    """Return the T that minimizes the negative log-likelihood of logits / T.

    In b = 1 / T the likelihood is convex: its slope is mean(E[logit] - logit of the right label), which
    bisection on ln T brings to 0.
    """
    right = logits[np.arange(len(labels)), labels]
    low, high = np.log(LIMITS[0]), np.log(LIMITS[1])
    for _ in range(STEPS):
        middle = (low + high) / 2
        expected = (np.exp(log_softmax(logits / np.exp(middle))) * logits).sum(axis=1)
        if (expected - right).mean() > 0:  # too sure of itself: T must grow
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def fold_temperature(model: Any, temperature: float) -> None:
    """Divide the last layer's kernel and bias by the temperature, in place."""
    last = model.get_layer(OUTPUT_NAME)
    last.set_weights([np.float32(weight / np.float64(temperature)) for weight in last.get_weights()])
