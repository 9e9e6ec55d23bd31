"""The conversion of a photo model: one Keras CNN in, one checked and stamped ONNX file out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from fmnist_convert.card import (
    PHOTO_CONTRACT,
    as_json,
    describe,
    describe_gate,
    describe_graph,
    describe_static,
    model_card,
    stamp,
)
from fmnist_convert.conversion import Conversion, Row
from fmnist_convert.parity import PHOTO_LIMITS, Limits, Parity, broken_float_limits, broken_limits, measure_parity
from fmnist_convert.photo_graph import QUANTIZED, PhotoNetwork, float_network, photo_graph, read_photo_network
from fmnist_convert.progress import SILENT, Progress
from fmnist_convert.quantize import Pictures, StaticInt8, quantize_statically, run
from fmnist_convert.vectors import build_photo_vectors
from fmnist_edge.contract import LABELS, OUTPUT_NAME, PHOTO_NAME, SAW_NAME
from fmnist_edge.dataset import load_split
from fmnist_edge.errors import DataError
from fmnist_edge.model_info import side_json_path, vectors_path
from fmnist_edge.pictures import Picture, accepted_matrix, hold_out, load_squares, read_collections

HELD_OUT_SHARE: Final = 8  # one group of training pictures in eight judges the int8 form; training keeps out the same
CALIBRATION_PICTURES: Final = 800
JUDGED_PICTURES: Final = 2_000
SIZE_LIMIT: Final = 420 * 1024  # bytes of the int8 file


@dataclass(frozen=True)
class Measured:
    """Both graphs on some pictures."""

    name: str
    parity: Parity


def convert_photo_model(
    original: Any,
    *,
    collections: Sequence[Path],
    data: Path | None,
    name: str,
    model_version: str,
    limits: Limits = PHOTO_LIMITS,
    allow_worse: bool = False,
    progress: Progress = SILENT,
) -> Conversion:
    """Convert a photo model and measure it on the pictures' validation part; nothing is written yet.

    Ranges and what stays in float come from the training part alone. Raises ModelError, DataError and GateError.
    """
    progress.step("fp32 graph")
    network = read_photo_network(original.model)
    fp32 = float_network(network)
    progress.step("reading training pictures")
    calibration, judging = _training_pictures(collections, network.side)
    broken = _broken_export(fp32, original.model, judging.inputs[:200])
    judged_by = _for_few(limits, len(judging.labels))
    int8 = quantize_statically(fp32, calibration, judging, judged_by, operators=QUANTIZED, progress=progress)
    progress.step("measuring on validation pictures")
    measured = [*_validation(collections, fp32, int8.model, network.side)]
    parity = measured[-1].parity
    broken += broken_limits("int8 on validation pictures", parity, _for_few(limits, parity.images))
    description = _description(original, name, model_version, int8, measured, limits)
    conversion = _conversion(network, fp32, int8, description, measured, broken, data)
    return replace(conversion, files={}) if conversion.broken and not allow_worse else conversion


def _training_pictures(paths: Sequence[Path], side: int) -> tuple[NDArray[np.uint8], Pictures]:
    """Return calibration squares, and held-out ones with their accepted classes: every n-th of all pictures."""
    kept, out = hold_out(read_collections(paths, "train"), HELD_OUT_SHARE)
    if not kept or not out:
        raise DataError("no training pictures to calibrate a photo model on: name them with --pictures")
    judged = _spread(out, JUDGED_PICTURES)
    return load_squares(_spread(kept, CALIBRATION_PICTURES), side), _as_pictures(judged, side)


def _spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """Return at most `count` of the pictures, evenly spread."""
    places = np.unique(np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int))
    return [pictures[place] for place in places]


def _as_pictures(pictures: Sequence[Picture], side: int) -> Pictures:
    return Pictures(load_squares(pictures, side), accepted_matrix(pictures) > 0)


def _broken_export(fp32: onnx.ModelProto, model: Any, squares: NDArray[np.uint8]) -> list[str]:
    reference = np.asarray(model(squares, training=False), np.float32)
    labels = reference.argmax(axis=1)
    return broken_float_limits(measure_parity(run(fp32, squares), reference, labels))


def _validation(paths: Sequence[Path], fp32: onnx.ModelProto, int8: onnx.ModelProto, side: int) -> Iterator[Measured]:
    """Yield a row for each collection and one for all; pictures of no garment have no right label and are left out."""
    pictures = [one for one in read_collections(paths, "validation") if one.accepted]
    if not pictures:
        raise DataError(
            "no validation pictures to measure the photo model on: name a collection with a validation/ part"
        )
    shown = _as_pictures(pictures, side)
    found, expected = (run(model, shown.inputs) for model in (int8, fp32))
    places = np.array([str(one.collection) for one in pictures])
    for place in np.unique(places):
        here = places == place
        parity = measure_parity(found[here], expected[here], shown.labels[here])
        yield Measured(f"validation, {Path(place).name}", parity)
    yield Measured("validation, all", measure_parity(found, expected, shown.labels))


def _for_few(limits: Limits, pictures: int) -> Limits:
    """Return the limits for so many pictures: two more or less that are right are no finding."""
    return replace(limits, max_drop=max(limits.max_drop, 2 / pictures))


def _description(
    original: Any, name: str, model_version: str, int8: StaticInt8, measured: Sequence[Measured], limits: Limits
) -> dict[str, Any]:
    calibration = f"{CALIBRATION_PICTURES} training pictures, evenly spread; judged on held-out groups of them"
    return (
        PHOTO_CONTRACT
        | describe(name, model_version, original.sha256, original.record)
        | {
            "unsure_below": float(original.record.get("unsure_below", 0.0)),
            "training_data": original.record.get("training_data", "not recorded"),
            "quantization": describe_static(calibration, int8.kept_in_float, int8.parity, QUANTIZED),
            "gate": describe_gate(limits),
            "measured": {
                one.name: one.parity.figures() | {"fp32_accuracy": round(one.parity.reference_accuracy, 4)}
                for one in measured
            },
        }
    )


def _conversion(
    network: PhotoNetwork,
    fp32: onnx.ModelProto,
    int8: StaticInt8,
    description: dict[str, Any],
    measured: Sequence[Measured],
    broken: list[str],
    data: Path | None,
) -> Conversion:
    graph = photo_graph(int8.model, network)
    description = description | describe_graph(graph, "int8")
    content = stamp(graph, description).SerializeToString(deterministic=True)
    if len(content) > SIZE_LIMIT:
        broken.append(f"int8: {len(content):,} bytes, more than {SIZE_LIMIT:,}")
    sha256 = hashlib.sha256(content).hexdigest()
    model = Path(f"{description['name']}.int8.onnx")
    beside = description | {"file": model.name, "bytes": len(content), "sha256": sha256}
    files = {
        vectors_path(model).name: as_json(build_photo_vectors(sha256, _answers(content), load_split("test", data))),
        side_json_path(model).name: as_json(beside),
        model.with_suffix(".md").name: model_card(beside).encode(),
        model.name: content,
    }
    rows = [
        Row(
            f"{description['name']}.fp32.onnx (not written)",
            fp32.ByteSize(),
            None,
            measured[-1].parity.reference_accuracy,
        )
    ]
    rows += [Row(f"{model.name}, {one.name}", len(content), one.parity, one.parity.accuracy) for one in measured]
    notes = [f"left in float, as int8 missed the gate: {', '.join(int8.kept_in_float)}"] if int8.kept_in_float else []
    return Conversion(rows, broken, files, notes)


def _answers(content: bytes) -> Any:
    """Return what a photo model answers: picture uint8 [height, width, 3] to probabilities [10] and saw."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def answer(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        probabilities, saw = session.run([OUTPUT_NAME, SAW_NAME], {PHOTO_NAME: picture})
        assert probabilities.shape == (1, len(LABELS))
        return probabilities[0], saw

    return answer
