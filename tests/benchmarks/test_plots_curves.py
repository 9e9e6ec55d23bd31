import io

import pytest
from PIL import Image

from fmnist_bench.charts import curves_of, curves_png

HISTORY = {"loss": [0.9, 0.5], "accuracy": [0.7, 0.8], "val_loss": [0.8, 0.6], "val_accuracy": [0.75, 0.78]}
RECORD = {
    "model": "fmnist-mlp",
    "recipe": "default",
    "seed": 0,
    "accuracy": {"train": 0.81, "test": 0.8},
    "history": HISTORY,
}


def test_curves_are_the_history_in_their_units() -> None:
    assert [(curve.name, curve.values) for curve in curves_of(RECORD, "loss")] == [
        ("training", (0.9, 0.5)),
        ("validation", (0.8, 0.6)),
    ]
    training, validation = curves_of(RECORD, "accuracy")
    assert training.values == pytest.approx((70, 80))
    assert validation.values == pytest.approx((75, 78))
    assert training.style["linestyle"] != validation.style["linestyle"]


def test_a_training_without_validation_has_one_curve() -> None:
    plain = {**RECORD, "history": {"loss": [0.9], "accuracy": [0.7]}}
    assert [curve.name for curve in curves_of(plain, "accuracy")] == ["training"]


def test_the_picture_is_a_png() -> None:
    with Image.open(io.BytesIO(curves_png(RECORD))) as picture:
        assert (picture.format, picture.size) == ("PNG", (1200, 528))
