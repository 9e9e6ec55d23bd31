"""`classify --explain`: what an explanation shows, and the files that the command writes."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from fmnist_edge import Classifier, Prediction
from fmnist_edge.explain import explanation, overlay

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("?-*.png"))
PHOTO = Path(__file__).parents[2] / "samples" / "photos" / "t-shirt-1.jpg"
BLUE, GREY = (0, 90, 181), (170, 170, 170)
SQUARE, LEFT, TOP = 280, 2 * 12 + 280, 12 + 26


def page(source: Path, prediction: Prediction) -> NDArray[np.uint8]:
    with PIL.Image.open(io.BytesIO(explanation(source, prediction))) as picture:
        assert picture.info["Software"] == "fmnist-edge"
        return np.asarray(picture)


def bars(shown: NDArray[np.uint8], colour: tuple[int, int, int]) -> list[int]:
    """Return how long the bar of each class is in a colour."""
    rows = shown[TOP + 14 : TOP + SQUARE : 28, LEFT + SQUARE :]
    return [int((row == colour).all(axis=1).sum()) for row in rows]


def test_the_middle_shows_the_pixels_that_the_dataset_classifier_was_given() -> None:
    prediction = Classifier().classify(SAMPLES[0])
    seen = page(SAMPLES[0], prediction)[TOP + 5 : TOP + SQUARE : 10, LEFT + 5 : LEFT + SQUARE : 10, 0]
    assert np.array_equal(seen, prediction.image)


def test_bars_are_as_long_as_the_probabilities_and_the_best_is_blue_unless_unsure() -> None:
    prediction = Classifier().classify(SAMPLES[6])
    shown = page(SAMPLES[6], prediction)
    blue, grey = bars(shown, BLUE), bars(shown, GREY)
    lengths = np.array(blue) + np.array(grey)
    assert [index for index, length in enumerate(blue) if length] == [prediction.index]
    assert lengths == pytest.approx(1 + prediction.probabilities * lengths.max() / prediction.confidence, abs=1.5)
    unsure = Classifier(unsure_below=1.0).classify(SAMPLES[6])
    assert not any(bars(page(SAMPLES[6], unsure), BLUE))


def test_the_heat_is_where_the_model_saw_the_garment_and_nowhere_else() -> None:
    photo = PIL.Image.new("RGB", (40, 20), (50, 100, 200))
    saw = np.zeros((10, 20), np.float32)
    saw[2:8, 14:18] = 1
    mixed = np.asarray(overlay(photo, saw)).astype(int)
    assert mixed.shape == (20, 40, 3)
    assert (mixed[:, :24] == (50, 100, 200)).all()
    assert mixed[10, 32, 0] > 150 > mixed[10, 32, 2]  # yellow over blue


def test_a_photo_is_shown_plain_and_under_its_heat_map() -> None:
    prediction = Classifier().classify(PHOTO)
    shown = page(PHOTO, prediction).astype(int)
    plain, seen = shown[TOP : TOP + SQUARE, 12 : 12 + SQUARE], shown[TOP : TOP + SQUARE, LEFT : LEFT + SQUARE]
    different = np.abs(plain - seen).max(axis=2) > 8
    assert prediction.saw is not None
    heat = PIL.Image.fromarray(prediction.saw).resize((158, 280))
    hot = np.asarray(heat) > 0.2
    assert different[:, 61 : 61 + 158][hot].mean() > 0.9
    assert not different[:, :60].any()


def test_each_image_gets_a_file_of_its_own_that_bears_no_inputs_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shirt.jpg").write_bytes(PHOTO.read_bytes())
    (tmp_path / "bad.png").write_bytes(b"no image")
    inputs = [tmp_path / "a/shirt.jpg", tmp_path / "bad.png", tmp_path / "b/shirt.jpg", SAMPLES[9]]
    done = subprocess.run(
        [SCRIPT, "classify", "--explain", tmp_path / "seen", *inputs], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 4
    written = sorted((tmp_path / "seen").iterdir())
    assert [path.name for path in written] == [
        "9-ankle-boot.explained.png",
        "shirt-2.explained.png",
        "shirt.explained.png",
    ]
    assert written[1].read_bytes() == written[2].read_bytes() == explanation(PHOTO, Classifier().classify(PHOTO))
