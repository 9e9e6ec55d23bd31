"""The photo model's batches: cut-out garments, grounds, drawn pictures, and how often each is drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fmnist_edge.dataset import Split
from fmnist_edge.pictures import Picture
from fmnist_train.augment import Batches
from fmnist_train.backend import tf
from fmnist_train.cnn import build_cnn, build_cnn_training_model, partial_label_loss
from fmnist_train.recipes import Augmentation
from fmnist_train.stock import Stock, balanced_weights, cut_out, draw_no_garment, white_borders

SIDE = 40


def on_white(color: tuple[int, int, int] = (200, 30, 30)) -> np.ndarray:
    """Return a garment of one colour on white, with a white label in its middle: uint8 [SIDE, SIDE, 3]."""
    square = np.full((SIDE, SIDE, 3), 255, np.uint8)
    square[8:32, 10:30] = color
    square[18:22, 18:22] = 255
    return square


@pytest.fixture(scope="module")
def stock() -> Stock:
    rng = np.random.default_rng(0)
    garments = np.stack([on_white((40 + 20 * number, 90, 200 - 15 * number)) for number in range(10)])
    cut_outs, whole = cut_out(garments)
    assert whole.all()
    images = np.zeros((10, 28, 28), np.uint8)
    images[:, 6:22, 8:20] = 200
    return Stock(
        pictures=garments,
        accepted=np.eye(10, dtype=np.float32),
        weights=np.full(10, 0.1),
        cut_outs=cut_outs,
        cut_rows=np.arange(10),
        grounds=rng.integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.uint8),
        drawn=np.stack([draw_no_garment(rng, SIDE) for _ in range(6)]),
        images=Split(images, np.arange(10).astype(np.uint8)),
    )


def test_the_ground_is_what_is_white_and_reaches_the_border() -> None:
    squares = np.stack([on_white(), np.full((SIDE, SIDE, 3), 255, np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8)])
    assert white_borders(squares).tolist() == [True, True, False]
    cut, whole = cut_out(squares)
    assert whole.tolist() == [True, False, False]  # an empty one and one without a ground
    alpha = cut[0, ..., 3]
    assert alpha[:7].max() == alpha[:, :9].max() == 0
    assert alpha[10:30, 12:28].min() == 255  # the label in the middle is part of the garment
    assert (cut[0, 10:17, 12:28, :3] == (200, 30, 30)).all()
    assert (cut[..., :3] <= cut[..., 3:]).all()  # premultiplied


def test_small_collections_and_rare_kinds_are_drawn_more_often_a_picture() -> None:
    def pictures(collection: str, kind: str, count: int) -> list[Picture]:
        return [Picture(Path(collection), f"{kind}/{number}", (0,), kind, "") for number in range(count)]

    shop = pictures("shop", "often", 90) + pictures("shop", "seldom", 10)
    weights = balanced_weights([*shop, *pictures("phone", "shirt", 20)])
    assert weights.sum() == pytest.approx(1)
    often, seldom, phone = weights[:90], weights[90:100], weights[100:]
    assert often[0] < seldom[0] < phone[0]
    assert seldom.sum() < often.sum()
    assert phone.sum() < 0.5 < often.sum() + seldom.sum()


def test_a_batch_is_a_function_of_seed_epoch_and_step(stock: Stock) -> None:
    batches = Batches(stock, 32, 40, 7, Augmentation())
    pictures, accepted = (part.numpy() for part in batches.batch(tf.constant(3, tf.int64), tf.constant(2, tf.int64)))
    assert pictures.shape == (40, 32, 32, 3)
    assert pictures.min() >= 0
    assert pictures.max() <= 255
    again = Batches(stock, 32, 40, 7, Augmentation()).batch(tf.constant(3, tf.int64), tf.constant(2, tf.int64))
    np.testing.assert_array_equal(again[0].numpy(), pictures)
    np.testing.assert_array_equal(again[1].numpy(), accepted)
    for epoch, step, seed in ((3, 1, 7), (2, 2, 7), (3, 2, 8)):
        other = Batches(stock, 32, 40, seed, Augmentation())
        different = other.batch(tf.constant(epoch, tf.int64), tf.constant(step, tf.int64))[0].numpy()
        assert np.any(different != pictures)


def test_drawn_pictures_have_no_accepted_class_and_the_others_have_one(stock: Stock) -> None:
    batches = Batches(stock, 32, 40, 7, replace(Augmentation(), drawn_share=0.1))
    accepted = batches.batch(tf.constant(0, tf.int64), tf.constant(0, tf.int64))[1].numpy()
    assert sorted(accepted.sum(axis=1).tolist()) == [0.0] * 4 + [1.0] * 36


def test_without_augmentation_a_picture_stays_what_it_is(stock: Stock) -> None:
    still = Augmentation(
        cut_out_share=0, dataset_share=0, drawn_share=0, turn=0, any_angle=0, smallest=1, largest=1, shift=0, aspect=0,
        erased=0, coarse=0, inverted=0,
    )  # fmt: skip
    pictures, accepted = Batches(stock, SIDE, 30, 7, still).batch(tf.constant(0, tf.int64), tf.constant(0, tf.int64))
    for picture, row in zip(pictures.numpy(), accepted.numpy(), strict=True):
        original = stock.pictures[row.argmax()].astype(np.float32)
        correlation = np.corrcoef(picture.ravel(), original.ravel())[0, 1]
        assert correlation > 0.7  # light and colour still vary


def test_cut_out_garments_cover_their_ground_and_leave_some_of_it(stock: Stock) -> None:
    bright = replace(stock, cut_outs=np.where(stock.cut_outs[..., 3:] > 0, 255, 0).repeat(4, -1).astype(np.uint8))
    dark = replace(bright, grounds=np.zeros_like(stock.grounds))
    still = Augmentation(cut_out_share=1, dataset_share=0, drawn_share=0, erased=0, coarse=0, inverted=0)
    batches = Batches(replace(dark, pictures=stock.pictures), 32, 30, 7, still)
    pictures = batches.batch(tf.constant(0, tf.int64), tf.constant(0, tf.int64))[0].numpy()
    spread = pictures.max(axis=(1, 2, 3)) - pictures.min(axis=(1, 2, 3))
    assert np.median(spread) > 50


def test_the_loss_of_a_partial_label_is_that_of_the_summed_probability() -> None:
    loss = partial_label_loss(smoothing=0.0, no_garment_weight=0.5)
    probabilities = tf.constant([[0.3, 0.2, 0.5] + [0.0] * 7, [0.1] * 10, [1.0] + [0.0] * 9])
    accepted = np.zeros((3, 10), np.float32)
    accepted[0, :2] = 1
    values = loss(accepted, probabilities).numpy()
    assert values[0] == pytest.approx(-np.log(0.5), abs=1e-5)
    assert values[1] == pytest.approx(0, abs=1e-5)  # no garment: the uniform distribution is the aim
    assert values[2] > 1


def test_the_training_model_shares_the_layers_of_the_network() -> None:
    model = build_cnn(32, [(8, 2), (10, 2)])
    trainer = build_cnn_training_model(model)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    np.testing.assert_allclose(
        trainer.predict(pictures.astype(np.float32), verbose=0), model.predict(pictures, verbose=0), atol=1e-6
    )
    assert {id(layer) for layer in trainer.layers[1:]} == {id(layer) for layer in model.layers[1:]}
