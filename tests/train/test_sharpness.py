import numpy as np
import pytest

from fmnist_train.backend import keras, tf
from fmnist_train.model import build_model, build_training_model

RATE = 0.5
LOSS = "sparse_categorical_crossentropy"


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (32, 28, 28)).astype(np.uint8), np.arange(32) % 10


def trained(batch: tuple[np.ndarray, np.ndarray], radius: float, dropout: float = 0.0) -> list[np.ndarray]:
    """Return the weights after one step of plain gradient descent."""
    keras.utils.set_random_seed(1)
    model = build_model()
    trainer = build_training_model(model, dropout, radius)
    trainer.compile(optimizer=keras.optimizers.SGD(RATE), loss=LOSS)
    trainer.fit(*batch, batch_size=32, shuffle=False, verbose=0)
    return [np.asarray(weight) for weight in model.get_weights()]


def gradients_at(model: keras.Model, batch: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    images, labels = batch
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, model(images)))
    return [part.numpy() for part in tape.gradient(loss, model.trainable_variables)]


def test_the_step_is_by_the_gradient_at_the_top_of_the_ball(batch: tuple[np.ndarray, np.ndarray]) -> None:
    radius = 0.3
    keras.utils.set_random_seed(1)
    model = build_model()
    start = model.get_weights()
    first = gradients_at(model, batch)
    length = np.sqrt(sum(float(np.sum(part.astype(np.float64) ** 2)) for part in first))
    model.set_weights([weight + radius * part / length for weight, part in zip(start, first, strict=True)])
    expected = [weight - RATE * part for weight, part in zip(start, gradients_at(model, batch), strict=True)]
    for weight, wanted in zip(trained(batch, radius), expected, strict=True):
        np.testing.assert_allclose(weight, wanted, atol=2e-6)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(trained(batch, 0.0), expected, strict=True))


def test_radius_0_is_plain_training(batch: tuple[np.ndarray, np.ndarray]) -> None:
    keras.utils.set_random_seed(1)
    model = build_model()
    plain = keras.Model(model.inputs, model.outputs)
    plain.compile(optimizer=keras.optimizers.SGD(RATE), loss=LOSS)
    plain.fit(*batch, batch_size=32, shuffle=False, verbose=0)
    for weight, wanted in zip(trained(batch, 0.0), model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, wanted, atol=1e-6)


def test_both_gradients_see_the_same_dropout_mask(batch: tuple[np.ndarray, np.ndarray]) -> None:
    keras.utils.set_random_seed(1)
    trainer = build_training_model(build_model(), 0.5, 0.05)
    trainer.compile(optimizer=keras.optimizers.SGD(RATE), loss=LOSS)
    dropout = next(layer for layer in trainer.layers if isinstance(layer, keras.layers.Dropout))
    drawn = dropout.seed_generator.state.numpy()[1]
    trainer.fit(*batch, batch_size=8, shuffle=False, verbose=0)
    assert dropout.seed_generator.state.numpy()[1] == drawn + 4  # one mask a step
