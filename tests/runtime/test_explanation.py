"""`classify --explain`: what the explanation shows, and the files it makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image

from fmnist_edge import Classifier
from fmnist_edge.explain import BARS_WIDTH, MARGIN, SIDE, explain

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("?-*.png"))
BLUE, GREY, OUTLINE = (0, 90, 181), (170, 170, 170), (255, 0, 200)


def scene() -> PIL.Image.Image:
    pixels = np.full((300, 200, 3), (200, 190, 170), np.uint8)
    pixels[60:240, 60:140] = (30, 40, 90)
    return PIL.Image.fromarray(pixels)


def test_the_middle_shows_the_pixels_that_the_network_saw() -> None:
    prediction = Classifier().classify(SAMPLES[0])
    with PIL.Image.open(SAMPLES[0]) as picture:
        page = np.asarray(explain(picture, prediction))
    left, top = SIDE + 2 * MARGIN, 2 * MARGIN + 14
    seen = page[top + 5 : top + SIDE : 10, left + 5 : left + SIDE : 10, 0]
    assert np.array_equal(seen, prediction.image)


def test_bars_are_as_long_as_the_probabilities_and_the_best_is_blue() -> None:
    prediction = Classifier().classify(SAMPLES[6])
    with PIL.Image.open(SAMPLES[6]) as picture:
        page = np.asarray(explain(picture, prediction))
    room = BARS_WIDTH - 96 - 52
    for number, probability in enumerate(prediction.probabilities):
        row = page[2 * MARGIN + 14 + number * 28 + 14, 2 * SIDE + 3 * MARGIN + 96 :]
        colour = BLUE if number == prediction.index else GREY
        assert abs(int((row == colour).all(axis=1).sum()) - max(1, round(room * float(probability)))) <= 1


def test_a_photo_shows_its_masks_outline_and_a_dataset_image_none() -> None:
    classifier = Classifier()
    photo = np.asarray(explain(scene(), classifier.classify(scene())))
    with PIL.Image.open(SAMPLES[0]) as picture:
        plain = np.asarray(explain(picture, classifier.classify(picture)))
    assert (photo == OUTLINE).all(axis=2).sum() > 100
    assert not (plain == OUTLINE).all(axis=2).any()


def test_each_image_gets_a_file_of_its_own_even_under_the_same_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        scene().save(tmp_path / folder / "shirt.jpg")
    (tmp_path / "bad.png").write_bytes(b"no image")
    inputs = [tmp_path / "a/shirt.jpg", tmp_path / "bad.png", tmp_path / "b/shirt.jpg", SAMPLES[9]]
    done = subprocess.run(
        [SCRIPT, "classify", "--explain", tmp_path / "seen", *inputs], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 4
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert names == ["9-ankle-boot.png", "shirt-2.png", "shirt.png"]
    for path in (tmp_path / "seen").iterdir():
        with PIL.Image.open(path) as page:
            assert page.size == (2 * SIDE + BARS_WIDTH + 4 * MARGIN, SIDE + 3 * MARGIN + 14)
