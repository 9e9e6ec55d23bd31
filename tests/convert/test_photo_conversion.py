"""The conversion of the photo model: contract, reproducibility, gate, and what the shipped file does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from fmnist_convert.original import open_segmenter
from fmnist_convert.parity import Parity, broken_photo_limits
from fmnist_convert.photo.conversion import convert_photo_model
from fmnist_convert.photo.integer_steps import KERNEL_LIMIT
from fmnist_convert.photo.scenes import draw_scene, draw_scenes
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, read_side_json

from .conftest import ROOT, SHIPPED_KERAS

SEGMENTER = ROOT / "train" / "artifacts" / "fmnist-photo-segmenter.keras"
HEAD = ROOT / "train" / "artifacts" / "fmnist-photo-head.keras"


@pytest.fixture(scope="module")
def conversion() -> Any:
    return convert_photo_model(SEGMENTER, HEAD, data=None, photos=None, name=None, model_version="1.0.0")


@pytest.fixture(scope="module")
def shipped() -> onnx.ModelProto:
    return onnx.load(EMBEDDED_PHOTO_MODEL)


def test_int8_keeps_the_labels_of_fp32_on_scenes_of_training_garments(conversion: Any) -> None:
    assert conversion.broken == []
    train_scenes = conversion.rows[1]
    assert train_scenes.parity.images == 500
    assert train_scenes.parity.agreement >= 0.98


def test_the_shipped_file_is_the_conversion_of_the_committed_parts(conversion: Any, shipped: onnx.ModelProto) -> None:
    """Graph and integers equal, floats within 1e-6: what holds on any CPU."""
    rebuilt = onnx.load_from_string(conversion.files[EMBEDDED_PHOTO_MODEL.name])
    assert [n.SerializeToString() for n in shipped.graph.node] == [n.SerializeToString() for n in rebuilt.graph.node]
    for mine, theirs in zip(shipped.graph.initializer, rebuilt.graph.initializer, strict=True):
        a, b = onnx.numpy_helper.to_array(mine), onnx.numpy_helper.to_array(theirs)
        assert (mine.name, a.dtype, a.shape) == (theirs.name, b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-6 if a.dtype == np.float32 else 0)


def test_the_shipped_file_keeps_its_limits(shipped: onnx.ModelProto) -> None:
    assert EMBEDDED_PHOTO_MODEL.stat().st_size <= 400_000
    assert {node.domain for node in shipped.graph.node} == {""}
    assert [(o.domain, o.version) for o in shipped.opset_import] == [("", 13)]
    assert shipped.ir_version == 7


def test_no_kernel_of_the_segmenter_can_saturate(shipped: onnx.ModelProto) -> None:
    kernels = [t for t in shipped.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    assert len(kernels) > 10
    assert max(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max() for t in kernels) == KERNEL_LIMIT


def test_the_classifier_inside_has_the_integers_of_the_shipped_classifier(shipped: onnx.ModelProto) -> None:
    inside, own = (
        {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        for model in (shipped, onnx.load(EMBEDDED_CLASSIFIER))
    )
    for name in ("hidden_kernel", "hidden_bias", "output_kernel", "output_bias"):
        assert np.array_equal(inside[f"classifier_{name}"], own[name]), name


def test_the_facts_inside_and_beside_name_parts_threshold_and_drawing() -> None:
    facts = read_side_json(EMBEDDED_PHOTO_MODEL)
    assert facts["segmenter"]["sha256"] == hashlib.sha256(SEGMENTER.read_bytes()).hexdigest()
    assert facts["head"]["sha256"] == hashlib.sha256(HEAD.read_bytes()).hexdigest()
    assert 0 < facts["unsure_below"] < 1
    assert facts["sha256"] == hashlib.sha256(EMBEDDED_PHOTO_MODEL.read_bytes()).hexdigest()
    assert facts["classifier_sha256"] == hashlib.sha256(EMBEDDED_CLASSIFIER.read_bytes()).hexdigest()
    assert json.dumps(facts["drawing"])


def test_the_gate_stops_a_graph_that_changes_labels_or_loses_accuracy_on_training_pictures_alone() -> None:
    good = Parity(500, 0.8, 0.8, 0, 0.0, 0.0)
    worse = Parity(500, 0.78, 0.8, 0, 0.0, 0.0)
    changed = Parity(500, 0.8, 0.8, 11, 0.0, 0.0)
    assert broken_photo_limits({"train scenes": good}) == []
    assert "less accurate" in broken_photo_limits({"train photos": worse})[0]
    assert "same label" in broken_photo_limits({"train scenes": changed})[0]
    assert broken_photo_limits({"test scenes": worse, "validation photos": changed}) == []


def test_a_classifier_is_no_segmenter() -> None:
    with pytest.raises(ModelError, match="a segmenter maps 96x96 pixels to a mask"):
        open_segmenter(SHIPPED_KERAS)


def test_a_segmenter_without_its_record_says_how_to_train_one(tmp_path: Path) -> None:
    open_segmenter(SEGMENTER).model.save(tmp_path / "bare.keras")
    with pytest.raises(ModelError, match="--part segmenter"):
        convert_photo_model(tmp_path / "bare.keras", HEAD, data=None, photos=None, name=None, model_version="1")


def test_scenes_are_the_same_for_the_same_seed_and_show_the_garment(test_split: Any) -> None:
    first, again = (draw_scenes(test_split.images[:5], 7) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert {scene.dtype for scene in first} == {np.dtype(np.uint8)}
    empty = draw_scene(np.zeros((28, 28), np.uint8), np.random.default_rng((7, 0)))
    assert empty.shape == first[0].shape
    assert np.abs(empty.astype(int) - first[0]).mean() > 3
