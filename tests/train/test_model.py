import numpy as np
import pytest

from fmnist_train.backend import keras
from fmnist_train.model import build_model, build_training_model


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)


def test_the_network_is_784_128_10_on_uint8_images() -> None:
    model = build_model()
    assert model.count_params() == 101_770
    assert [weight.shape for weight in model.get_weights()] == [(784, 128), (128,), (128, 10), (10,)]
    assert (model.inputs[0].dtype, model.inputs[0].shape, model.inputs[0].name) == (
        "uint8",
        (None, 28, 28),
        "image",
    )


def test_the_saved_network_holds_nothing_of_training() -> None:
    model = build_model()
    build_training_model(model, input_dropout=0.2)
    assert [layer.name for layer in model.layers] == ["image", "rescaling", "flatten", "hidden", "probabilities"]
    assert not model.compiled


def test_its_probabilities_are_those_of_the_formula(images: np.ndarray) -> None:
    model = build_model()
    kernel, bias, last_kernel, last_bias = model.get_weights()
    hidden = np.maximum(images.reshape(5, 784) / 255 @ kernel + bias, 0)
    exponentials = np.exp(hidden @ last_kernel + last_bias)
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)


def test_training_the_training_model_trains_the_network(images: np.ndarray) -> None:
    keras.utils.set_random_seed(0)
    model = build_model()
    trainer = build_training_model(model, input_dropout=0.2)
    before = model.get_weights()
    trainer.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    trainer.fit(images, np.arange(5), verbose=0)
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))


def test_dropout_acts_in_training_only(images: np.ndarray) -> None:
    model = build_model()
    trainer = build_training_model(model, input_dropout=0.5)
    expected = model.predict(images, verbose=0)
    np.testing.assert_array_equal(trainer.predict(images, verbose=0), expected)
    assert np.abs(np.asarray(trainer(images, training=True)) - expected).max() > 1e-3


def test_the_same_seed_gives_the_same_first_weights_whatever_was_built_before() -> None:
    keras.utils.set_random_seed(5)
    first = build_model()
    keras.utils.set_random_seed(5)
    second = build_model()
    assert first.to_json() == second.to_json()
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
