"""Photos: which model answers, what an answer brings with it, and that the way a host reduces a photo does not matter.

Which label a photo gets is the photo model's matter, and tested with it.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fmnist_edge import LABELS, Classifier, ModelError, Prediction, UsageError
from fmnist_edge.decoding import decode
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL
from fmnist_edge.photos import photos_at_hand
from fmnist_edge.pictures import read_collection
from fmnist_edge.self_test import PhotoVectors, check_model, load_vectors

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.png"))
PHOTOS = sorted((Path(__file__).parents[2] / "samples" / "photos").glob("*.jpg"))
COLLECTION = photos_at_hand()
needs_photos = pytest.mark.skipif(COLLECTION is None, reason="no photos: set FMNIST_PHOTOS to run this")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


# Which model answers


def test_28x28_pixels_go_to_the_dataset_classifier_and_all_else_to_the_photo_model(classifier: Classifier) -> None:
    for picture in (noise(28, 28), noise(28, 28)[..., 0]):
        prediction = classifier.classify(picture)
        assert (prediction.model, prediction.saw) == (EMBEDDED_CLASSIFIER.name, None)
        assert prediction.image is not None
    for picture in (noise(29, 28), noise(28, 27), noise(1, 1), noise(400, 300)):
        prediction = classifier.classify(picture)
        assert (prediction.model, prediction.image) == (EMBEDDED_PHOTO_MODEL.name, None)
        assert prediction.saw is not None


def test_the_route_can_be_forced() -> None:
    assert Classifier(route="photo").classify(SAMPLES[0]).model == EMBEDDED_PHOTO_MODEL.name
    assert Classifier(route="dataset").classify(PHOTOS[0]).model == EMBEDDED_CLASSIFIER.name


def test_a_model_of_ones_own_answers_every_picture() -> None:
    of_photos, of_images = Classifier(EMBEDDED_PHOTO_MODEL), Classifier(EMBEDDED_CLASSIFIER)
    assert (of_photos.route, of_images.route) == ("photo", "dataset")
    for source in (SAMPLES[0], PHOTOS[0]):
        assert of_photos.classify(source).model == EMBEDDED_PHOTO_MODEL.name
        assert of_images.classify(source).model == EMBEDDED_CLASSIFIER.name
    with pytest.raises(UsageError, match="28x28 images only"):
        Classifier(EMBEDDED_CLASSIFIER, route="photo")
    with pytest.raises(UsageError, match="photos only"):
        of_photos.predict(np.zeros((1, 28, 28), np.uint8))


# What an answer brings


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_an_answer_says_where_the_model_saw_it_in_the_shape_of_the_photo(path: Path, classifier: Classifier) -> None:
    prediction = classifier.classify(path)
    assert prediction.label in (*LABELS, "unsure")
    with PIL.Image.open(path) as photo:
        aspect = photo.width / photo.height
    assert prediction.saw is not None
    rows, columns = prediction.saw.shape
    assert prediction.saw.dtype == np.float32
    assert columns / rows == pytest.approx(aspect, rel=0.03)
    assert 0 <= prediction.saw.min() <= prediction.saw.max() <= 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (2000, 1), (1024, 7), (50, 50), (640, 480)])
def test_photos_of_any_shape_get_an_answer(height: int, width: int, classifier: Classifier) -> None:
    photo = noise(height, width)
    for pixels in (photo, np.zeros_like(photo), np.full_like(photo, 255)):
        prediction = classifier.classify(pixels)
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert prediction.saw is not None
        assert prediction.saw.size > 0


def test_an_answer_below_the_threshold_is_unsure(classifier: Classifier) -> None:
    prediction = classifier.classify(PHOTOS[0])
    assert 0 < prediction.unsure_below < 1
    assert prediction.unsure == (prediction.confidence < prediction.unsure_below)
    assert prediction.label == ("unsure" if prediction.unsure else prediction.class_name)
    strict, lax = Classifier(unsure_below=1.0), Classifier(unsure_below=0.0)
    for source in (PHOTOS[0], SAMPLES[0]):
        sure, unsure = lax.classify(source), strict.classify(source)
        assert (sure.unsure, unsure.unsure, unsure.label) == (False, True, "unsure")
        assert sure.label == sure.class_name == unsure.class_name
        assert np.array_equal(sure.probabilities, unsure.probabilities)


def test_threads_and_pickles_give_the_same_bits(classifier: Classifier) -> None:
    photos = [noise(90, 70, seed) for seed in range(12)]
    expected = [classifier.classify(photo).probabilities for photo in photos]
    with ThreadPoolExecutor(6) as pool:
        shared = list(pool.map(lambda photo: classifier.classify(photo).probabilities, photos))
    revived = pickle.loads(pickle.dumps(Classifier(route="photo", unsure_below=0.5)))
    assert (revived.route, revived.unsure_below) == ("photo", 0.5)
    for photo, wanted, found in zip(photos, expected, shared, strict=True):
        assert np.array_equal(wanted, found)
        assert np.array_equal(wanted, revived.classify(photo).probabilities)


def test_the_vectors_of_the_shipped_model_are_those_of_its_file() -> None:
    vectors = load_vectors(EMBEDDED_PHOTO_MODEL)
    assert isinstance(vectors, PhotoVectors)
    assert check_model(EMBEDDED_PHOTO_MODEL, vectors).passed
    turned = PhotoVectors(
        vectors.model_sha256,
        vectors.tolerance,
        vectors.photos,
        vectors.probabilities,
        tuple(1 - saw for saw in vectors.saws),
        vectors.saw_tolerance,
    )
    assert [held for held, _ in check_model(EMBEDDED_PHOTO_MODEL, turned).findings()] == [True, True, True, False]
    with pytest.raises(ModelError, match="not a photo model"):
        check_model(EMBEDDED_CLASSIFIER, vectors)


# How a photo is reduced


def by_reduce(photo: PIL.Image.Image) -> PIL.Image.Image:
    return photo.reduce(max(1, max(photo.size) // 128))


def resized(filtering: PIL.Image.Resampling) -> Callable[[PIL.Image.Image], PIL.Image.Image]:
    def reduce(photo: PIL.Image.Image) -> PIL.Image.Image:
        scale = 200 / max(photo.size)
        return photo.resize((round(photo.width * scale), round(photo.height * scale)), filtering)

    return reduce


WAYS = {"reduce": by_reduce} | {
    name: resized(PIL.Image.Resampling[name]) for name in ("BOX", "BILINEAR", "BICUBIC", "LANCZOS")
}


@needs_photos
def test_however_a_photo_is_reduced_no_sure_answer_becomes_another(classifier: Classifier) -> None:
    """The answers are compared with those of JPEG's own scaled decoding, which is the shortest way."""
    assert COLLECTION is not None
    found: dict[str, list[Prediction]] = {name: [] for name in ("scaled decoding", *WAYS)}
    accepted = []
    for picture in read_collection(COLLECTION, "validation"):
        path = COLLECTION / picture.path
        accepted.append(picture.accepted)
        found["scaled decoding"].append(classifier.classify(path))
        whole = decode(path, least_side=10_000).convert("RGB")
        for name, way in WAYS.items():
            found[name].append(classifier.classify(np.asarray(way(whole))))
    right = {
        name: np.mean([answer.index in labels for answer, labels in zip(answers, accepted, strict=True)])
        for name, answers in found.items()
    }
    for name in WAYS:
        pairs = list(zip(found[name], found["scaled decoding"], strict=True))
        assert np.mean([one.index == other.index for one, other in pairs]) >= 0.97, name
        assert not any(one.index != other.index for one, other in pairs if not (one.unsure or other.unsure)), name
        assert abs(right[name] - right["scaled decoding"]) <= 0.012, name


@pytest.mark.parametrize("size", [(480, 360), (4000, 3000), (700, 5000)])
def test_large_jpegs_are_given_to_the_model_small(size: tuple[int, int], classifier: Classifier) -> None:
    photo = PIL.Image.fromarray(noise(30, 40)).resize(size)
    file = BytesIO()
    photo.save(file, "JPEG", quality=90)
    small = decode(file.getvalue())
    assert 128 <= max(small.size) < 256
    direct = classifier.classify(np.asarray(small)).probabilities
    assert np.array_equal(classifier.classify(file.getvalue()).probabilities, direct)


def test_photos_that_were_named_but_are_not_there_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fmnist_edge.errors import DataError

    monkeypatch.setitem(os.environ, "FMNIST_PHOTOS", str(tmp_path))
    with pytest.raises(DataError, match="train/ and validation/"):
        photos_at_hand()
