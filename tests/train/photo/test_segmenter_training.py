"""Training the segmenter: what it sees, what it writes, and that the same seed gives the same file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmnist_convert.original import open_segmenter
from fmnist_convert.photo import drawing_graph
from fmnist_edge import dataset
from fmnist_edge.dataset import load_split
from fmnist_train.backend import keras
from fmnist_train.keras_file import read_record
from fmnist_train.photo.composites import CompositeRecipe
from fmnist_train.photo.pools import draw_pool
from fmnist_train.photo.segmenter import build, folded
from fmnist_train.photo.segmenter_training import train_segmenter

from .conftest import SEGMENTER


def test_the_record_holds_what_conversion_reads(segmenter: Any) -> None:
    record = open_segmenter(segmenter.files[0]).record
    assert (record["part"], record["recipe"], record["seed"]) == ("segmenter", "default", 5)
    assert drawing_graph.DrawingRule(**record["drawing"]).floods > 0
    assert all(low <= 0 < high for low, high in record["ranges"].values())
    layers = keras.models.load_model(segmenter.files[0], compile=False).layers
    stored = {layer.name for layer in layers if type(layer).__name__ in ("ReLU", "Add")}
    assert stored | {"scale"} <= set(record["ranges"])


def test_the_record_beside_the_file_is_the_one_inside(segmenter: Any) -> None:
    assert [path.name for path in segmenter.files] == [
        "fmnist-photo-segmenter.keras",
        "fmnist-photo-segmenter.training.json",
    ]
    assert json.loads(segmenter.files[1].read_text()) == read_record(segmenter.files[0])
    assert len(segmenter.record["loss"]) == 10


def test_a_seed_gives_the_same_bytes_and_no_test_image_is_read(
    segmenter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = dataset._read

    def read_no_test_image(folder: Path, stem: str) -> bytes:
        assert not stem.startswith("t10k")
        return read(folder, stem)

    monkeypatch.setattr(dataset, "_read", read_no_test_image)
    again = train_segmenter(SEGMENTER, 5, tmp_path)
    assert again.files[0].read_bytes() == segmenter.files[0].read_bytes()
    other = train_segmenter(dataclasses.replace(SEGMENTER, steps=10), 6, tmp_path / "other")
    assert other.record["loss"] != segmenter.record["loss"]


def test_folding_the_normalisation_changes_no_answer() -> None:
    keras.utils.set_random_seed(0)
    widths = (4, 4, 4, 4)
    model = build(widths)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            layer.set_weights([random.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    photos = random.uniform(0, 255, (3, 96, 96, 3)).astype(np.float32)
    expected = np.asarray(model(photos, training=False))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(folded(model, widths)(photos), expected, atol=1e-4, rtol=1e-4)


def test_composites_depend_on_their_number_alone_not_on_the_processes() -> None:
    train = load_split("train")
    few = dataset.Split(train.images[:300], train.labels[:300])
    alone = draw_pool(few, CompositeRecipe(), 1_004, 3)
    together = draw_pool(few, CompositeRecipe(), 1_004, 3, processes=2)
    for key in ("photos", "masks", "allowed"):
        assert np.array_equal(getattr(alone, key), getattr(together, key))
    assert alone.photos.shape == (1_004, 96, 96, 3)
    covered = (alone.masks > 127).mean((1, 2))
    assert covered.min() > 0  # there is a garment in each
    assert covered.max() < 1  # and ground around it
    assert set(alone.allowed.sum(1)) == {1, 3}  # pairs of shoes may be any of three
