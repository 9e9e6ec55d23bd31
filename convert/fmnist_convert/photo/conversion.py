"""The conversion of the photo model: two Keras files in, one checked and stamped ONNX file out."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from fmnist_convert.conversion import Conversion, Row, as_json, plain_name
from fmnist_convert.export import export_fp32
from fmnist_convert.facts import graph_facts, photo_facts, stamp
from fmnist_convert.int8_graph import read_int8
from fmnist_convert.network import read_network
from fmnist_convert.original import Original, open_original, open_segmenter
from fmnist_convert.parity import Parity, broken_photo_limits, measure_parity
from fmnist_convert.photo.card import photo_card
from fmnist_convert.photo.drawing_graph import DrawingRule
from fmnist_convert.photo.float_steps import FloatSteps
from fmnist_convert.photo.integer_steps import IntegerSteps
from fmnist_convert.photo.photo_model import PhotoParts, build_photo_model
from fmnist_convert.photo.scenes import draw_scene
from fmnist_convert.photo.vectors import build_photo_vectors
from fmnist_convert.quantize import Quantized, best_rounding
from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import Split, load_split
from fmnist_edge.decoding import decode
from fmnist_edge.download import ACCEPTED, list_photos, photos_at_hand
from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, sha256_of, side_json_path, vectors_path

PhotoModel: Any = None  # the runtime no longer runs this graph

DEFAULT_NAME: Final = "fmnist-photo"
SCENES: Final = 500  # drawn photos, of the first images of a split, that the gate measures on
DRAWINGS: Final = 1_000  # drawn photos, of other training images, whose drawings calibrate the head
SCENE_SEED: Final = 1


@dataclass(frozen=True)
class Pictures:
    """Photos with the labels that each may get."""

    name: str
    photos: Iterator[NDArray[np.uint8]]
    accepted: Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Measured:
    """The answers of both graphs on some pictures."""

    name: str
    parity: Parity
    classes: dict[str, float]
    """Share labelled rightly of the pictures of each label; several accepted labels are named together."""


def convert_photo_model(
    segmenter: Path, head: Path, *, data: Path | None, photos: Path | None, name: str | None, model_version: str
) -> Conversion:
    """Convert the two parts of a photo model and measure the result; nothing is written yet.

    Pictures that look like the dataset go through the embedded classifier's own int8 layers. Raises ModelError and
    DataError.
    """
    name = plain_name(name or DEFAULT_NAME)
    photos = photos_at_hand(photos)
    parts = open_segmenter(segmenter), open_original(head)
    train, test = load_split("train", data), load_split("test", data)
    fp32 = _fp32_parts(*parts)
    fp32_model = build_photo_model(fp32)
    with tempfile.TemporaryDirectory() as folder:
        reference = _open(fp32_model, Path(folder) / "fp32.onnx")
        quantized = _quantized_head(fp32.head, reference, train)
        int8_model = build_photo_model(_int8_parts(fp32, parts[0], quantized))
        answers = _open(int8_model, Path(folder) / "int8.onnx")
        measured = [_measure(pictures, reference, answers) for pictures in _pictures(train, test, photos)]
    classifier = sha256_of(EMBEDDED_CLASSIFIER)
    facts = photo_facts(name, model_version, *parts, classifier, quantized) | graph_facts(int8_model, "int8")
    facts["measured"] = {item.name: item.parity.as_facts() | {"classes": item.classes} for item in measured}
    content = stamp(int8_model, facts).SerializeToString(deterministic=True)
    vectors = build_photo_vectors(hashlib.sha256(content).hexdigest(), answers, test)
    return _conversion(name, content, fp32_model.ByteSize(), facts, vectors, measured)


def _fp32_parts(segmenter: Original, head: Original) -> PhotoParts:
    rule = DrawingRule(**_recorded(segmenter, "drawing"))
    classifier = read_int8(onnx.load(EMBEDDED_CLASSIFIER))
    return PhotoParts(
        segmenter.model, FloatSteps(), export_fp32(open_original(head.path, input_form="0..255")), classifier, rule
    )


def _int8_parts(fp32: PhotoParts, segmenter: Original, quantized: Quantized) -> PhotoParts:
    ranges = {layer: (float(low), float(high)) for layer, (low, high) in _recorded(segmenter, "ranges").items()}
    return PhotoParts(fp32.segmenter, IntegerSteps(ranges), quantized.network, fp32.classifier, fp32.rule)


def _recorded(original: Original, key: str) -> dict[str, Any]:
    value = original.record.get(key)
    if not isinstance(value, dict):
        raise ModelError(f"the segmenter's file records no '{key}': train it with `fmnist-edge train --part segmenter`")
    return value


def _quantized_head(head: onnx.ModelProto, reference: PhotoModel, train: Split) -> Quantized:
    """Calibrate the head on drawings of drawn photos and on training images, half of each for choosing."""
    scenes = _scenes(train.images[-DRAWINGS:], SCENE_SEED + 1)
    drawings = np.stack([np.asarray(reference.classify(scene).image) for scene in scenes])
    images = train.images[:: len(train.images) // DRAWINGS]
    return best_rounding(
        read_network(head),
        np.concatenate([drawings[0::2], images[0::2]]),
        np.concatenate([drawings[1::2], images[1::2]]),
    )


def _scenes(images: NDArray[np.uint8], seed: int) -> Iterator[NDArray[np.uint8]]:
    for number, image in enumerate(images):
        yield draw_scene(image, np.random.default_rng((seed, number)))


def _pictures(train: Split, test: Split, photos: Path | None) -> Iterator[Pictures]:
    """Yield what the gate and the card measure on; photos where they are at hand."""
    for name, split in (("train scenes", train), ("test scenes", test)):
        labels = [(int(label),) for label in split.labels[:SCENES]]
        yield Pictures(name, _scenes(split.images[:SCENES], SCENE_SEED), labels)
    if photos is None:
        return
    for name, folder in (("train photos", "train"), ("validation photos", "validation")):
        found = list(list_photos(photos, folder))  # type: ignore[arg-type]  # two literals
        pixels = (np.asarray(decode(path).convert("RGB")) for path, _ in found)
        yield Pictures(name, pixels, [ACCEPTED[kind] for _, kind in found])


def _measure(pictures: Pictures, reference: PhotoModel, answers: PhotoModel) -> Measured:
    """Run both graphs. A picture with several accepted labels is right by any; the first stands for them."""
    outputs: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    labels = []
    for photo, accepted in zip(pictures.photos, pictures.accepted, strict=True):
        both = (reference.classify(photo).probabilities, answers.classify(photo).probabilities)
        outputs.append((_merged(both[0], accepted), _merged(both[1], accepted)))
        labels.append(accepted[0])
    expected, found = (np.stack(side) for side in zip(*outputs, strict=True))
    right = found.argmax(1) == np.array(labels)
    parity = measure_parity(found, expected, np.array(labels, np.uint8))
    return Measured(pictures.name, parity, _by_class(right, pictures.accepted))


def _by_class(right: NDArray[np.bool_], accepted: Sequence[tuple[int, ...]]) -> dict[str, float]:
    """Return the share that is right by the names of the accepted labels."""
    names = np.array([" or ".join(LABELS[index] for index in labels) for labels in accepted])
    return {str(name): round(float(right[names == name].mean()), 4) for name in np.unique(names)}


def _merged(probabilities: NDArray[np.float32], accepted: tuple[int, ...]) -> NDArray[np.float32]:
    """Let the best of several accepted labels stand in the place of the first of them."""
    merged = probabilities.copy()
    best = accepted[int(np.argmax(probabilities[list(accepted)]))]
    merged[[accepted[0], best]] = merged[[best, accepted[0]]]
    return merged


def _open(model: onnx.ModelProto, path: Path) -> PhotoModel:
    onnx.save(stamp(model, {"labels": list(LABELS)}), path)
    return PhotoModel(path)


def _conversion(
    name: str,
    content: bytes,
    fp32_bytes: int,
    facts: dict[str, Any],
    vectors: dict[str, Any],
    measured: list[Measured],
) -> Conversion:
    model = Path(f"{name}.int8.onnx")
    beside = facts | {"file": model.name, "bytes": len(content), "sha256": vectors["model_sha256"]}
    files = {
        vectors_path(model).name: as_json(vectors),
        side_json_path(model).name: as_json(beside),
        model.with_suffix(".md").name: photo_card(beside).encode(),
        model.name: content,
    }
    rows = [Row(f"{name}.fp32.onnx (not written)", fp32_bytes, None, measured[0].parity.reference_accuracy)]
    rows += [Row(f"{model.name}, {item.name}", len(content), item.parity, item.parity.accuracy) for item in measured]
    return Conversion(rows, broken_photo_limits({item.name: item.parity for item in measured}), files)
