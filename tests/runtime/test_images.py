"""Polarity and fitting: any picture becomes what the dataset classifier was trained on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from fmnist_edge import Classifier
from fmnist_edge.dataset import Split, load_split
from fmnist_edge.images import fit, load_image
from tests.runtime.pictures import LOSSLESS, encoded, garment

ENLARGED = 1000  # images; the same ones each time, so that a point is 10 answers that changed for the worse


def on_white(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return 255 - image


@pytest.fixture(scope="module")
def test_split() -> Split:
    return load_split("test")


def test_images_of_the_dataset_reach_the_model_untouched_unless_they_look_framed(test_split: Split) -> None:
    found = np.stack([load_image(image) for image in test_split.images])
    assert np.array_equal(found[:, 1:-1, 1:-1], test_split.images[:, 1:-1, 1:-1])
    changed = (found != test_split.images).any(axis=(1, 2))
    assert changed.mean() < 0.003
    assert test_split.images[changed][:, 0].max() <= 32


def test_every_negative_of_the_dataset_is_turned_back(test_split: Split) -> None:
    for image in test_split.images:
        assert np.array_equal(load_image(on_white(image)), load_image(image))


@pytest.mark.parametrize("form", LOSSLESS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_28x28_file_keeps_every_grey_level(form: str, mode: str) -> None:
    image = PIL.Image.fromarray(garment()).convert(mode)
    assert np.array_equal(load_image(encoded(image, form, **LOSSLESS[form])), garment())


@given(arrays(np.uint8, (28, 28)))
def test_any_28x28_picture_without_a_frame_is_kept_or_negated_and_nothing_else(image: NDArray[np.uint8]) -> None:
    image[0, 0], image[5, 0] = 10, 200
    border = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    assert np.array_equal(load_image(image), 255 - image if border.mean() > 127.5 else image)


def framed(image: NDArray[np.uint8], level: int) -> NDArray[np.uint8]:
    picture = np.full_like(image, level)
    picture[1:-1, 1:-1] = image[1:-1, 1:-1]
    return picture


def cut_out(image: NDArray[np.uint8]) -> PIL.Image.Image:
    """Return an image of the dataset whose background is transparent."""
    alpha = PIL.Image.fromarray(np.where(image > 0, 255, 0).astype(np.uint8))
    return PIL.Image.merge("LA", [PIL.Image.fromarray(image), alpha])


def opaque(image: NDArray[np.uint8]) -> PIL.Image.Image:
    return PIL.Image.fromarray(image).convert("RGBA")


DEEP = np.uint16(257)
FORMS: dict[str, Callable[[NDArray[np.uint8]], Any]] = {
    "as it is": lambda image: image,
    "inverted": on_white,
    "cut out": cut_out,
    "with alpha": opaque,
    "inverted, with alpha": lambda image: opaque(on_white(image)),
    "16 bits": lambda image: encoded(image * DEEP),
    "16 bits, inverted": lambda image: encoded(on_white(image) * DEEP),
    "in a white frame": lambda image: framed(image, 255),
    "in a grey frame": lambda image: framed(image, 160),
    "inverted, in a black frame": lambda image: framed(on_white(image), 0),
    "in a black frame": lambda image: framed(image, 0),
    "inverted, in a white frame": lambda image: framed(on_white(image), 255),
    "in a black frame, as JPEG": lambda image: encoded(framed(image, 0), "JPEG", quality=90),
    "in a white frame, as JPEG": lambda image: encoded(framed(image, 255), "JPEG", quality=90),
}


@pytest.mark.parametrize("form", FORMS)
def test_dataset_pictures_of_any_form_are_classified_as_well_as_their_pixels(test_split: Split, form: str) -> None:
    images, labels = test_split.images[:ENLARGED], test_split.labels[:ENLARGED]
    classifier = Classifier()
    direct = np.mean(classifier.predict(images).argmax(axis=1) == labels)
    found = np.stack([load_image(FORMS[form](image)) for image in images])
    assert np.mean(classifier.predict(found).argmax(axis=1) == labels) >= direct - 0.01


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([0, 90, 200, 255]))
def test_a_plain_picture_of_any_shape_is_a_black_one(width: int, height: int, level: int) -> None:
    image = np.full((height, width), level, np.uint8)
    if (width, height) != (28, 28):
        assert not load_image(image).any()


@pytest.mark.parametrize(("height", "width"), [(56, 14), (14, 56), (100, 33), (7, 7), (1, 20000), (20000, 1)])
def test_the_shape_is_kept_the_long_side_is_28_and_the_rest_is_centred_background(height: int, width: int) -> None:
    image = np.full((height, width), 255, np.uint8)
    image[0] = image[-1] = 0
    image[:, 0] = image[:, -1] = 0
    mostly_dark = np.where(np.indices(image.shape).sum(axis=0) % 7 < 3, image, 0).astype(np.uint8)
    fitted = fit(PIL.Image.fromarray(mostly_dark))
    short = max(1, round(28 * min(height, width) / max(height, width)))
    background = fitted.T if height > width else fitted
    before = (28 - short) // 2
    assert fitted.shape == (28, 28)
    assert not background[:before].any()
    assert not background[before + short :].any()


@pytest.mark.parametrize("background", [10, 25, 40])
@pytest.mark.parametrize("negative", [False, True])
def test_an_off_black_or_off_white_background_is_brought_to_zero(background: int, negative: bool) -> None:
    clean = np.kron(garment(), np.ones((10, 10), np.uint8)).astype(np.uint8)
    grey = np.rint(background + clean * ((255 - background) / 255)).astype(np.uint8)
    fitted = load_image(on_white(grey) if negative else grey).astype(int)
    assert np.abs(fitted - load_image(clean).astype(int)).max() <= 3  # of rounding twice


def test_a_few_stray_pixels_do_not_hide_what_the_background_is() -> None:
    grey = np.full((280, 280), 40, np.uint8)
    grey[:28, :28] = 0
    assert not load_image(grey)[14:].any()


def test_a_garment_that_fills_most_of_the_border_is_not_taken_for_the_background() -> None:
    picture = np.zeros((28, 28), np.uint8)
    picture[3:25] = 120
    picture[:, 7:21] = 120
    fitted = load_image(np.kron(picture, np.ones((10, 10), np.uint8)).astype(np.uint8))
    assert np.abs(fitted[10:18, 10:18].astype(int) - 120).max() <= 2


def test_fine_stripes_are_averaged_not_sampled() -> None:
    grey = np.zeros((280, 280), np.uint8)
    grey[40:240, 40:240:2] = 255
    assert np.abs(load_image(grey)[8:20, 8:20].astype(int) - 128).max() <= 2


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("enlarge", [PIL.Image.Resampling.NEAREST, PIL.Image.Resampling.BICUBIC])
def test_enlarged_images_are_classified_nearly_as_well(
    test_split: Split, negative: bool, form: str, enlarge: PIL.Image.Resampling
) -> None:
    images, labels = test_split.images[:ENLARGED], test_split.labels[:ENLARGED]
    save = partial(encoded, form=form, **({"quality": 80} if form == "JPEG" else {"compress_level": 0}))
    fitted = [
        load_image(save(PIL.Image.fromarray(on_white(image) if negative else image).resize((280, 280), enlarge)))
        for image in images
    ]
    classifier = Classifier()
    direct = np.mean(classifier.predict(images).argmax(axis=1) == labels)
    assert np.mean(classifier.predict(np.stack(fitted)).argmax(axis=1) == labels) >= direct - 0.01
