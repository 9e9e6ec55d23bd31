from dataclasses import replace

import numpy as np
import pytest

from fmnist_edge.dataset import Split, load_split
from fmnist_train.backend import keras, tf
from fmnist_train.fit import load_training_data
from fmnist_train.mlp import (
    DropoutClock,
    EpochClock,
    build_model,
    build_training_model,
    draw_flips,
    draw_order,
    training_batches,
)
from fmnist_train.recipes import DEFAULT, TUTORIAL

RATE = 0.5
LOSS = "sparse_categorical_crossentropy"
COUNT = 200


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


@pytest.fixture
def numbered() -> Split:
    """Return images that carry their number in their first pixel and a mark in their last column."""
    images = np.zeros((COUNT, 28, 28), np.uint8)
    images[:, 0, :] = np.arange(COUNT, dtype=np.uint8)[:, None]
    images[:, 1, 27] = 255
    return Split(images, (np.arange(COUNT) % 10).astype(np.uint8))


def seen(batches: object) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(images.numpy(), labels.numpy()) for images, labels in batches]  # type: ignore[attr-defined]
    return np.concatenate([images for images, _ in pairs]), np.concatenate([labels for _, labels in pairs])


def test_an_epoch_shows_every_image_once_with_its_own_label(numbered: Split) -> None:
    batches = training_batches(numbered, replace(DEFAULT, batch_size=64), seed=1, epoch=0)
    images, labels = seen(batches)
    numbers = images[:, 0, 0].astype(int)
    assert sorted(numbers) == list(range(COUNT))
    np.testing.assert_array_equal(labels, numbers % 10)
    assert [len(batch) for _, batch in batches] == [64, 64, 64, 8]


def test_flips_mirror_whole_images_about_half_of_them(numbered: Split) -> None:
    images, _ = seen(training_batches(numbered, DEFAULT, seed=1, epoch=0))
    mirrored = images[:, 1, 0] == 255
    np.testing.assert_array_equal(images[~mirrored, 1, 27], 255)
    assert 70 <= mirrored.sum() <= 130


def test_a_recipe_without_flips_shows_the_images_as_they_are(numbered: Split) -> None:
    images, _ = seen(training_batches(numbered, TUTORIAL, seed=1, epoch=0))
    np.testing.assert_array_equal(images, numbered.images[images[:, 0, 0]])


def test_order_and_flips_depend_on_seed_and_epoch_alone() -> None:
    for draw in (draw_order, draw_flips):
        first = np.asarray(draw(COUNT, 1, 7))
        np.testing.assert_array_equal(first, np.asarray(draw(COUNT, 1, 7)))
        assert np.any(first != np.asarray(draw(COUNT, 1, 8)))
        assert np.any(first != np.asarray(draw(COUNT, 2, 7)))


def test_the_clock_sets_which_epoch_the_batches_show(numbered: Split) -> None:
    clock = EpochClock()
    batches = training_batches(numbered, DEFAULT, seed=1, epoch=clock.epoch)
    clock.on_epoch_begin(5)
    images, labels = seen(batches)
    expected_images, expected_labels = seen(training_batches(numbered, DEFAULT, seed=1, epoch=5))
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)


def test_the_masks_of_dropout_go_on_from_epoch_to_epoch() -> None:
    dropout = keras.layers.Dropout(0.5)
    model = keras.Sequential([keras.Input((8,)), dropout])
    seed = dropout.seed_generator.state.numpy()[0]
    clock = DropoutClock(steps=7)
    clock.set_model(model)
    for epoch in (0, 3):
        clock.on_epoch_begin(epoch)
        assert dropout.seed_generator.state.numpy().tolist() == [seed, epoch * 7]
    model(np.ones((2, 8)), training=True)
    assert dropout.seed_generator.state.numpy()[1] == 3 * 7 + 1  # a mask a step


def test_training_sees_the_first_55000_or_all_60000_training_images_and_never_a_test_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []

    def watched(name: str, folder: object = None) -> Split:
        loaded.append(name)
        return load_split(name)  # type: ignore[arg-type]

    monkeypatch.setattr("fmnist_train.fit.load_split", watched)
    kept, everything = load_training_data(DEFAULT), load_training_data(TUTORIAL)
    assert loaded == ["train", "validation", "full-train"]
    all_images = everything.train.images
    assert all_images.shape == (60_000, 28, 28)
    np.testing.assert_array_equal(kept.train.images, all_images[:55_000])
    assert kept.validation is not None
    np.testing.assert_array_equal(kept.validation.images, all_images[55_000:])
    assert everything.validation is None
