import numpy as np
import pytest

from fmnist_edge.dataset import Split, load_split
from fmnist_train.augmentation import jitter, mix
from fmnist_train.backend import keras, tf
from fmnist_train.teacher import build_teacher, judge, teacher_batches


@pytest.fixture(scope="module")
def few() -> Split:
    split = load_split("validation")
    return Split(split.images[:64], split.labels[:64])


def key(*numbers: int) -> object:
    return tf.constant(numbers, tf.int64)


def test_an_image_and_its_mirror_get_the_same_judgement(few: Split) -> None:
    keras.utils.set_random_seed(0)
    teacher = build_teacher()
    logits = judge(teacher, few.images)
    assert (logits.shape, logits.dtype) == ((64, 10), np.float32)
    np.testing.assert_array_equal(judge(teacher, few.images[:, :, ::-1]), logits)
    assert np.ptp(logits, axis=0).min() > 0


def test_jittered_garments_keep_their_place_and_tones(few: Split) -> None:
    images = few.images.astype(np.float32)
    moved = jitter(images, key(1, 2)).numpy()
    assert moved.shape == images.shape
    assert np.any(moved != images, axis=(1, 2)).all()
    assert moved.min() >= 0
    assert moved.max() <= 255
    assert moved.mean() == pytest.approx(images.mean(), rel=0.05)
    correlation = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(images, moved, strict=True)]
    mirrored = [np.corrcoef(a[:, ::-1].ravel(), b.ravel())[0, 1] for a, b in zip(images, moved, strict=True)]
    assert np.median(np.maximum(correlation, mirrored)) > 0.8
    assert 10 <= np.sum(np.greater(mirrored, correlation)) <= 54


def test_mixing_blends_images_and_targets_by_one_share(few: Split) -> None:
    images, targets = few.images.astype(np.float32), np.eye(10, dtype=np.float32)[few.labels]
    blended, blended_targets = (value.numpy() for value in mix(images, targets, key(3, 4)))
    np.testing.assert_allclose(blended_targets.sum(axis=1), 1, atol=1e-6)
    partners = few.labels[::-1]
    changed = np.any(blended != images, axis=(1, 2))
    assert 16 <= changed.sum() <= 48
    for place in np.flatnonzero(changed & (few.labels != partners)):
        share = blended_targets[place, few.labels[place]]
        np.testing.assert_allclose(blended[place], share * images[place] + (1 - share) * images[63 - place], atol=0.01)


def test_a_teachers_batches_depend_on_seed_and_epoch_alone(few: Split) -> None:
    def epoch(seed: int, number: int) -> list[np.ndarray]:
        return [images.numpy() for images, _ in teacher_batches(few, 24, seed, number)]

    first = epoch(1, 0)
    assert [len(images) for images in first] == [24, 24]  # the last 16 fill no batch
    for one, again in zip(first, epoch(1, 0), strict=True):
        np.testing.assert_array_equal(one, again)
    assert np.any(first[0] != first[1])
    assert np.any(first[0] != epoch(1, 1)[0])
    assert np.any(first[0] != epoch(2, 0)[0])
