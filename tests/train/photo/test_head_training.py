"""Training the photo head: what it sees, what it writes, and that the same seed gives the same file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmnist_convert.export import export_fp32
from fmnist_convert.network import read_network
from fmnist_convert.original import open_original
from fmnist_edge import dataset
from fmnist_edge.download import ACCEPTED
from fmnist_train.photo.calibration import fit_allowed_temperature, unsure_below
from fmnist_train.photo.head_fitting import loss
from fmnist_train.photo.head_scores import figures, unsure_shares
from fmnist_train.photo.head_training import train_head
from fmnist_train.photo.photos import fold, train_photos
from fmnist_train.scores import log_softmax

from .conftest import HEAD, PHOTO_HEAD, PHOTOS_OF_EACH


def test_the_record_holds_what_conversion_reads(head: Any, segmenter: Any) -> None:
    record = open_original(head.files[0]).record
    assert (record["part"], record["recipe"], record["seed"]) == ("photo-head", "fmnist-only", 5)
    assert 0.1 <= record["unsure_below"] <= 1
    assert record["training_data"].endswith("no photo")
    assert record["segmenter_sha256"] == hashlib.sha256(segmenter.files[0].read_bytes()).hexdigest()
    assert json.loads(head.files[1].read_text()) == record


def test_the_head_is_a_network_that_conversion_can_read(head: Any) -> None:
    original = open_original(head.files[0])
    kernels = [weight.shape for weight in original.model.get_weights()]
    assert kernels == [(784, 128), (128,), (128, 10), (10,)]
    assert read_network(export_fp32(open_original(original.path, input_form="0..255"))) is not None


def test_a_seed_gives_the_same_bytes_and_no_test_image_is_read(
    head: Any, segmenter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = dataset._read

    def read_no_test_image(folder: Path, stem: str) -> bytes:
        assert not stem.startswith("t10k")
        return read(folder, stem)

    monkeypatch.setattr(dataset, "_read", read_no_test_image)
    again = train_head(HEAD, 5, tmp_path, segmenter.files[0])
    assert again.files[0].read_bytes() == head.files[0].read_bytes()


def test_with_photos_it_sees_the_train_split_alone(few_photos: Path, segmenter: Any, tmp_path: Path) -> None:
    training = train_head(PHOTO_HEAD, 5, tmp_path, segmenter.files[0], photos=few_photos)
    assert training.record["held_out"]["pictures"] == 400
    assert set(training.record["held_out"]["classes"]) == set(ACCEPTED)
    assert "border" in training.record["negatives_unsure"]
    assert training.record["training_data"].startswith(f"the {PHOTOS_OF_EACH * len(ACCEPTED)} train photos")


def test_the_fold_is_stratified_and_leaves_no_photo_out(few_photos: Path) -> None:
    photos = train_photos(few_photos)
    fit, held_out = fold(photos.classes, held_out=70)
    assert sorted([*fit, *held_out]) == list(range(len(photos.paths)))
    assert all((photos.classes[held_out] == name).sum() == 10 for name in ACCEPTED)
    assert photos.allowed[photos.classes == "shoes"].sum(0).tolist() == [0, 0, 0, 0, 0, 60, 0, 60, 0, 60]


def test_a_temperature_is_found_again() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 10))
    labels = np.array([random.choice(10, p=np.exp(row)) for row in log_softmax(logits)])
    allowed = np.eye(10, dtype=bool)[labels]
    assert fit_allowed_temperature(logits * 1.6, allowed) == pytest.approx(1.6, rel=0.06)


def test_the_threshold_is_the_lowest_at_which_nine_of_ten_answers_are_right() -> None:
    confidence, right = np.linspace(0.01, 1, 100), np.arange(100) >= 40
    few = np.full(100, 0.2)
    assert unsure_below(confidence, right, few) == pytest.approx(confidence[34])  # 60 right of 66
    assert unsure_below(confidence, right, np.full(100, 0.8)) == pytest.approx(0.8)  # negatives ask for more
    assert unsure_below(confidence, np.zeros(100, bool), few) == pytest.approx(1)  # nothing is right


def test_figures_of_known_answers() -> None:
    probabilities = np.eye(10)[[0, 6, 1, 5]] * 0.9 + 0.01
    probabilities[2] = 0.1
    allowed = np.eye(10, dtype=bool)[[0, 2, 3, 9]]
    allowed[3, [5, 7]] = True
    found = figures(probabilities, allowed, np.array(["a", "b", "b", "c"]), 0.5)
    assert (found["accuracy"], found["forgiven"], found["answered"]) == (0.5, 0.75, 0.75)
    assert found["classes"] == {"a": 1.0, "b": 0.0, "c": 1.0}
    assert unsure_shares(np.array([0.2, 0.9]), ["noise", "text"], 0.5) == {"all": 0.5, "noise": 1.0, "text": 0.0}


def test_the_loss_asks_for_any_right_label_and_for_none_of_what_is_no_garment() -> None:
    shoe, none = np.zeros((1, 10), np.float32), np.ones((1, 10), np.float32)
    shoe[0, [5, 7, 9]] = 1
    sure, split, flat = (np.full((1, 10), -20, np.float32) for _ in range(3))
    sure[0, 7], split[0, [5, 9]], flat[:] = 20, 20, 0
    of = loss(0.0)
    assert float(of(shoe, sure)) == pytest.approx(0, abs=1e-3)
    assert float(of(shoe, split)) == pytest.approx(0, abs=1e-3)
    assert float(of(none, flat)) == pytest.approx(np.log(10), abs=1e-3)
    assert float(of(none, sure)) > 10
