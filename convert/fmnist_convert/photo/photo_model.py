"""The whole photo model: photo in; probabilities, picture and mask out.

photo ─ thumbnail ─ segmenter ─ mask ─ drawing ──┐
  └──── looks like the dataset already? ─────────┴─ picture ─ head, or the classifier's own layers ─ probabilities
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import onnx
from onnx import TensorProto, helper

from fmnist_convert.export import IR_VERSION, OPSET
from fmnist_convert.integer_network import IntegerNetwork
from fmnist_convert.photo.builder import GraphBuilder, Value
from fmnist_convert.photo.drawing_graph import (
    MASK_SIDE,
    DrawingRule,
    dataset_like,
    open_photo,
    rendered,
    thumbnail,
    to_bytes,
)
from fmnist_convert.photo.perceptron_graph import probabilities
from fmnist_convert.photo.segmenter_graph import Steps, segment
from fmnist_edge.contract import IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME

PHOTO_NAME: Final = "photo"
MASK_NAME: Final = "mask"


@dataclass(frozen=True)
class PhotoParts:
    """What a photo model is made of, in one precision."""

    segmenter: Any
    """The Keras model: thumbnail to mask logits."""
    steps: Steps
    """The arithmetic of the segmenter."""
    head: onnx.ModelProto | IntegerNetwork
    """For drawn pictures: a graph, uint8 [batch, 28, 28] to probabilities, or its integers."""
    classifier: IntegerNetwork
    """For pictures that look like the dataset already; the same contract."""
    rule: DrawingRule


def build_photo_model(parts: PhotoParts) -> onnx.ModelProto:
    """Return the ONNX graph; default-domain operators of opset 13 only."""
    g = GraphBuilder()
    photo = open_photo(g, PHOTO_NAME)
    plain, plain_level = dataset_like(g, photo, parts.rule)
    logits = segment(g, thumbnail(g, photo, parts.rule), parts.segmenter, parts.steps)
    level, mask = rendered(g, photo, logits, parts.rule)
    image = to_bytes(g, g.add("Where", plain, plain_level, level), INPUT_NAME)
    to_bytes(g, g.add("Where", plain, 0.0, mask), MASK_NAME)
    answers = (_answer(g, image, parts.classifier, "classifier"), _answer(g, image, parts.head, "head"))
    g.add("Where", plain, *answers, name=OUTPUT_NAME)
    return g.model(
        "photo", [_value(PHOTO_NAME, TensorProto.UINT8, ["height", "width", 3])], _outputs(), OPSET, IR_VERSION
    )


def _answer(g: GraphBuilder, image: Value, model: onnx.ModelProto | IntegerNetwork, prefix: str) -> Value:
    """Return probabilities, float32 [1, 10], of the picture, uint8 [28, 28]."""
    if isinstance(model, IntegerNetwork):
        return probabilities(g, image, model, prefix)
    batch = g.reshape(image, 1, IMAGE_SIDE, IMAGE_SIDE)
    return g.include(model, prefix, {INPUT_NAME: batch})[OUTPUT_NAME]


def _outputs() -> list[onnx.ValueInfoProto]:
    return [
        _value(OUTPUT_NAME, TensorProto.FLOAT, [1, len(LABELS)]),
        _value(INPUT_NAME, TensorProto.UINT8, [IMAGE_SIDE, IMAGE_SIDE]),
        _value(MASK_NAME, TensorProto.UINT8, [MASK_SIDE, MASK_SIDE]),
    ]


def _value(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)
