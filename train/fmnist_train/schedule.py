"""The learning rate as a function of the step, and the optimizer that follows it."""

from __future__ import annotations

from typing import Any, Final

from fmnist_train.backend import keras
from fmnist_train.recipes import Recipe

# The shape that made one cycle popular (fast.ai's and PyTorch's defaults): up in 30 % of the steps from
# 1/25 of the peak, then down a half cosine to 1/10,000 of where it began.
WARM_UP_SHARE: Final = 0.3
START_DIVISOR: Final = 25.0
END_DIVISOR: Final = START_DIVISOR * 1e4
AVERAGE_SHARE: Final = 0.03  # the default recipe's 1,000 steps are 0.029 of its own


def learning_rate(recipe: Recipe, steps: int) -> Any:
    """Return the rate for a training of `steps` steps: a float, or a Keras schedule (step -> float)."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / START_DIVISOR,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
        alpha=1 / END_DIVISOR,
    )


def build_optimizer(recipe: Recipe, steps: int) -> Any:
    """Return the recipe's optimizer for a training of `steps` steps, with Keras's own weight averaging."""
    momentum = average_momentum(recipe, steps)
    averaging = {} if momentum is None else {"use_ema": True, "ema_momentum": momentum}
    rate = learning_rate(recipe, steps)
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate, **averaging)
    return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, **averaging)


def average_momentum(recipe: Recipe, steps: int) -> float | None:
    """Return the momentum m of the moving average for a training of `steps` steps; None if there is none.

    The recipe's, but less where its reach of 1 / (1 - m) steps would be more than AVERAGE_SHARE of them all:
    a short training would be averaged with its first random weights.
    """
    if recipe.weight_average_momentum is None:
        return None
    return min(recipe.weight_average_momentum, 1 - 1 / max(1.0, AVERAGE_SHARE * steps))
