"""Photos: what finds its way to which model, and that the answers are as good as promised."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from fmnist_edge import Classifier, ImageError, ModelError
from fmnist_edge.classifier import PhotoModel, looks_like_the_dataset
from fmnist_edge.dataset import load_split
from fmnist_edge.download import ACCEPTED, list_photos, photos_at_hand
from fmnist_edge.errors import UsageError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.png"))
PHOTOS = photos_at_hand()
needs_photos = pytest.mark.skipif(PHOTOS is None, reason="no photos: set FMNIST_PHOTOS to run this")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.fixture(scope="module")
def photo_model() -> PhotoModel:
    return PhotoModel()


@pytest.fixture(scope="module")
def test_split() -> Any:
    return load_split("test")


def enlarged(image: np.ndarray, side: int, ground: str, form: str) -> bytes:
    picture = PIL.Image.fromarray(image if ground == "black" else 255 - image)
    picture = picture.resize((side, side), PIL.Image.Resampling.BICUBIC)
    content = BytesIO()
    picture.convert("RGB").save(content, form, **({"quality": 80} if form == "JPEG" else {}))
    return content.getvalue()


@pytest.mark.parametrize("ground", ["black", "white"])
@pytest.mark.parametrize(("side", "form"), [(280, "PNG"), (280, "JPEG"), (28, "PNG"), (28, "JPEG")])
def test_images_of_the_dataset_lose_at_most_a_point_as_photos(
    ground: str, side: int, form: str, test_split: Any
) -> None:
    images, labels = test_split.images[:1000], test_split.labels[:1000]
    direct = np.mean(Classifier().predict(images).argmax(axis=1) == labels)
    as_photos = Classifier(route="photo")
    found = [as_photos.classify(enlarged(image, side, ground, form)).index for image in images]
    assert np.mean(found == labels) >= direct - 0.0101


def test_a_dataset_image_passes_the_photo_model_untouched_and_needs_no_mask(photo_model: PhotoModel) -> None:
    for path in SAMPLES:
        grey = np.asarray(PIL.Image.open(path))
        prediction = photo_model.classify(np.repeat(grey[..., None], 3, axis=2))
        assert np.array_equal(prediction.image, grey), path.name
        assert prediction.mask is not None
        assert not prediction.mask.any()
        np.testing.assert_allclose(prediction.probabilities, Classifier().predict(grey[None])[0], atol=1e-6)


def test_28x28_grey_goes_to_the_classifier_and_all_else_to_the_photo_model(classifier: Classifier) -> None:
    grey = PIL.Image.open(SAMPLES[0])
    coloured = grey.convert("RGB")
    assert looks_like_the_dataset(grey)
    assert looks_like_the_dataset(coloured)
    coloured.putpixel((3, 3), (200, 10, 10))
    assert not looks_like_the_dataset(coloured)
    assert not looks_like_the_dataset(grey.resize((29, 28)))
    assert classifier.classify(grey).mask is None
    assert classifier.classify(coloured).mask is not None


def test_the_route_can_be_forced(classifier: Classifier) -> None:
    grey = PIL.Image.open(SAMPLES[0])
    assert Classifier(route="photo").classify(grey).mask is not None
    large = grey.resize((200, 200))
    assert Classifier(route="dataset").classify(large).mask is None
    assert classifier.classify(large).mask is not None


def test_a_model_of_one_kind_knows_one_route() -> None:
    assert Classifier(EMBEDDED_PHOTO_MODEL).route == "photo"
    assert Classifier(EMBEDDED_CLASSIFIER).route == "dataset"
    with pytest.raises(UsageError, match="28x28 images only"):
        Classifier(EMBEDDED_CLASSIFIER, route="photo")
    with pytest.raises(UsageError, match="photos only"):
        Classifier(EMBEDDED_PHOTO_MODEL).predict(np.zeros((1, 28, 28), np.uint8))
    with pytest.raises(ModelError, match="not a photo model"):
        PhotoModel(EMBEDDED_CLASSIFIER)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 700, 3), (1024, 7, 3), (50, 50, 3), (640, 480, 3)])
def test_photos_of_any_shape_get_an_answer(shape: tuple[int, ...], photo_model: PhotoModel) -> None:
    photo = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    for pixels in (photo, np.zeros_like(photo), np.full_like(photo, 255), np.full_like(photo, 128)):
        prediction = photo_model.classify(pixels)
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert prediction.image is not None
        assert prediction.mask is not None
        assert (prediction.image.shape, prediction.mask.shape) == ((28, 28), (96, 96))


@pytest.mark.parametrize(
    ("photo", "code"),
    [
        (np.zeros((5, 5), np.uint8), "wrong-array"),
        (np.zeros((5, 5, 4), np.uint8), "wrong-array"),
        (np.zeros((5, 5, 3), np.float32), "wrong-array"),
        (np.zeros((0, 5, 3), np.uint8), "wrong-array"),
        (np.zeros((1025, 5, 3), np.uint8), "too-large"),
    ],
)
def test_what_is_no_photo_is_refused(photo: np.ndarray, code: str, photo_model: PhotoModel) -> None:
    with pytest.raises(ImageError) as caught:
        photo_model.classify(photo)
    assert caught.value.code == code


def test_threads_and_pickles_give_the_same_bits(classifier: Classifier) -> None:
    photos = [np.random.default_rng(seed).integers(0, 256, (90, 70, 3)).astype(np.uint8) for seed in range(12)]
    expected = [classifier.classify(photo).probabilities for photo in photos]
    with ThreadPoolExecutor(6) as pool:
        shared = list(pool.map(lambda photo: classifier.classify(photo).probabilities, photos))
    revived = pickle.loads(pickle.dumps(Classifier(route="photo")))
    assert revived.route == "photo"
    for photo, wanted, found in zip(photos, expected, shared, strict=True):
        assert np.array_equal(wanted, found)
        assert np.array_equal(wanted, revived.classify(photo).probabilities)


def test_an_answer_below_the_models_threshold_is_unsure_by_default(classifier: Classifier) -> None:
    from fmnist_edge.batch import shown_label

    noise = np.random.default_rng(5).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    prediction = classifier.classify(noise)
    assert prediction.threshold == PhotoModel().threshold > 0
    assert prediction.confidence < prediction.threshold
    assert shown_label(prediction) == "unsure"
    assert shown_label(prediction, 0.0) == prediction.label


@needs_photos
def test_real_photos_get_the_right_label_as_often_as_promised(classifier: Classifier) -> None:
    answers = [
        (prediction.index in ACCEPTED[kind], prediction.confidence)
        for path, kind in list_photos(PHOTOS, "validation")  # type: ignore[arg-type]  # skipped without photos
        for prediction in [classifier.classify(path)]
    ]
    assert len(answers) == 290
    right = np.array([right for right, _ in sorted(answers, key=lambda answer: -answer[1])])
    assert right.mean() >= 0.74
    assert right[:145].mean() >= 0.90


def test_photos_that_were_named_but_are_not_there_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fmnist_edge.errors import DataError

    monkeypatch.setitem(os.environ, "FMNIST_PHOTOS", str(tmp_path))
    with pytest.raises(DataError, match="train/ and validation/"):
        photos_at_hand()
