import numpy as np
import pytest

from fmnist_train.fit import average_momentum, build_optimizer, learning_rate
from fmnist_train.recipes import DEFAULT, TUTORIAL


def test_one_cycle_climbs_to_the_peak_in_three_tenths_and_falls_to_almost_nothing() -> None:
    rate = learning_rate(DEFAULT, steps=1000)
    rates = np.array([float(rate(step)) for step in range(1001)])
    assert rates[0] == pytest.approx(2e-3 / 25)
    assert rates.argmax() == 300
    assert rates[300] == pytest.approx(2e-3)
    assert rates[1000] < 1e-7
    assert np.all(np.diff(rates[:301]) > 0)
    assert np.all(np.diff(rates[300:]) < 0)


def test_a_cycle_of_one_step_is_possible() -> None:
    assert np.isfinite(float(learning_rate(DEFAULT, steps=1)(1)))


def test_the_tutorial_has_plain_adam() -> None:
    optimizer = build_optimizer(TUTORIAL, steps=10)
    assert type(optimizer).__name__ == "Adam"
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)
    assert not optimizer.weight_decay
    assert not optimizer.use_ema


def test_the_default_has_decoupled_decay_and_averages() -> None:
    optimizer = build_optimizer(DEFAULT, steps=10_000)
    assert type(optimizer).__name__ == "AdamW"
    assert (optimizer.weight_decay, optimizer.use_ema) == (0.05, True)
    assert optimizer.ema_momentum == pytest.approx(1 - 1 / 300)


def test_a_very_short_training_is_hardly_averaged() -> None:
    assert average_momentum(DEFAULT, steps=20) == 0
    assert average_momentum(TUTORIAL, steps=20) is None
    assert average_momentum(DEFAULT, steps=34_400) == 0.999
