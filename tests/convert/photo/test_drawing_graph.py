"""The drawing's graph steps give what their numpy twins in the training room give."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import PIL.Image
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fmnist_convert.photo import drawing_graph
from fmnist_convert.photo.builder import GraphBuilder
from fmnist_convert.photo.scenes import draw_scene
from fmnist_edge.dataset import load_split
from fmnist_edge.decoding import decode
from fmnist_edge.download import list_photos, photos_at_hand
from fmnist_train.photo import drawing
from fmnist_train.photo.bypass import dataset_like
from fmnist_train.photo.taps import DrawingRule

RULE = DrawingRule()
Photo = NDArray[np.uint8]


@pytest.fixture(scope="module")
def graph() -> Any:
    """Return a session: photo and mask logits to thumbnail, bypass, its picture, picture, mask."""
    rule = drawing_graph.DrawingRule(**dataclasses.asdict(RULE))
    g = GraphBuilder()
    photo = drawing_graph.open_photo(g, "photo")
    thumbnail = drawing_graph.thumbnail(g, photo, rule)
    plain, level = drawing_graph.dataset_like(g, photo, rule)
    drawn, mask = drawing_graph.rendered(g, photo, "logits", rule)
    outputs = [
        (thumbnail, TensorProto.FLOAT, [96, 96, 3]),
        (plain, TensorProto.BOOL, []),
        (drawing_graph.to_bytes(g, level), TensorProto.UINT8, [28, 28]),
        (drawing_graph.to_bytes(g, drawn), TensorProto.UINT8, [28, 28]),
        (drawing_graph.to_bytes(g, mask), TensorProto.UINT8, [96, 96]),
    ]
    model = g.model(
        "drawing",
        [
            helper.make_tensor_value_info("photo", TensorProto.UINT8, ["height", "width", 3]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [96, 96]),
        ],
        [helper.make_tensor_value_info(*output) for output in outputs],
        13,
        7,
    )
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def enlarged(image: Photo, side: int = 140) -> Photo:
    grey = np.asarray(PIL.Image.fromarray(image).resize((side, side), PIL.Image.Resampling.NEAREST))
    return np.repeat(grey[..., None], 3, axis=2)


def photos() -> Iterator[Any]:
    random = np.random.default_rng(0)
    images = load_split("test").images
    yield pytest.param(np.array([[[3, 200, 7]]], np.uint8), id="1x1")
    yield pytest.param(random.integers(0, 256, (1, 700, 3), dtype=np.uint8), id="1x700")
    yield pytest.param(random.integers(0, 256, (700, 1, 3), dtype=np.uint8), id="700x1")
    yield pytest.param(np.full((40, 30, 3), 128, np.uint8), id="one colour")
    for number in (0, 7, 14):
        yield pytest.param(enlarged(images[number]), id=f"image {number} on black")
        yield pytest.param(enlarged(255 - images[number]), id=f"image {number} on white")
        yield pytest.param(draw_scene(images[number], np.random.default_rng(number)), id=f"scene {number}")
    folder = photos_at_hand()
    if not os.environ.get("FMNIST_PHOTOS") or folder is None:
        reason = "no real photos: FMNIST_PHOTOS is not set"
        yield pytest.param(None, id="photos", marks=pytest.mark.skip(reason=reason))
        return
    for path, name in list(list_photos(folder, "train"))[::600]:
        yield pytest.param(np.asarray(decode(path).convert("RGB")), id=f"photo of {name}")


def masks() -> dict[str, NDArray[np.float32]]:
    """Return mask logits: a ragged blob, two apart, noise without a main part, and nothing at all."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:96, 0:96]
    blob = 6 - ((y - 50) ** 2 / 300 + (x - 40) ** 2 / 100) + random.normal(0, 1.5, (96, 96))
    pair = 5 - np.minimum((x - 25) ** 2, (x - 75) ** 2) / 20 - (y - 48) ** 2 / 90
    planes = {"blob": blob, "pair": pair, "noise": random.normal(-1, 2, (96, 96)), "nothing": np.full((96, 96), -9.0)}
    return {name: plane.astype(np.float32) for name, plane in planes.items()}


@pytest.mark.parametrize("mask", masks())
@pytest.mark.parametrize("photo", list(photos()))
def test_graph_and_numpy_draw_the_same(graph: Any, photo: Photo, mask: str) -> None:
    logits = masks()[mask]
    thumbnail, plain, plain_picture, picture, drawn_mask = graph.run(None, {"photo": photo, "logits": logits})
    expected = drawing.rendered(photo, logits, RULE)
    assert np.array_equal(thumbnail, drawing.thumbnail(photo, RULE))
    # Sums of unequal floats are taken in another order, and sigmoids differ in their last bit: one level may change.
    assert np.abs(picture.astype(int) - expected.picture.astype(int)).max() <= 1
    assert np.abs(drawn_mask.astype(int) - expected.mask.astype(int)).max() <= 1
    assert (picture != expected.picture).mean() < 0.01
    bypassed = dataset_like(photo, RULE)
    assert bool(plain) == (bypassed is not None)
    if bypassed is not None:
        assert np.abs(plain_picture.astype(int) - bypassed.astype(int)).max() <= 1


def test_enlarged_images_of_the_dataset_take_the_bypass(graph: Any) -> None:
    logits = masks()["blob"]
    for image in load_split("train").images[:20]:
        for photo in (enlarged(image), enlarged(255 - image)):
            assert graph.run(None, {"photo": photo, "logits": logits})[1]


def test_both_rooms_name_the_same_constants() -> None:
    names = [field.name for field in dataclasses.fields(drawing_graph.DrawingRule)]
    assert names == [field.name for field in dataclasses.fields(DrawingRule)]
