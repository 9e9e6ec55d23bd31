"""The whole conversion: a person's network in, checked and stamped ONNX files out."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from fmnist_convert.card import (
    CONTRACT,
    PHOTO_TOLERANCE,
    TOLERANCE,
    Conversion,
    as_json,
    build_vectors,
    describe,
    describe_gate,
    describe_graph,
    describe_static,
    model_card,
    recall_by_class,
    stamp,
)
from fmnist_convert.convert_photo import convert_photo_model
from fmnist_convert.dense_chain import DenseChain, read_dense_chain
from fmnist_convert.export import export_fp32
from fmnist_convert.input_form import with_measured_form
from fmnist_convert.integer_mlp import build_onnx
from fmnist_convert.original import Original, open_original
from fmnist_convert.parity import (
    DEFAULT_LIMITS,
    OWN_LIMITS,
    PHOTO_LIMITS,
    Limits,
    Parity,
    Predictor,
    Row,
    broken_float_limits,
    broken_limits,
    measure_parity,
    predict_all,
)
from fmnist_convert.progress import SILENT, Progress
from fmnist_convert.quantize import BATCH_DIFFERENCE, Pictures, batch_difference, quantize_statically, run
from fmnist_convert.quantize_mlp import describe_mlp, quantize_mlp
from fmnist_edge.classifier import Classifier
from fmnist_edge.dataset import Split, load_split
from fmnist_edge.errors import GateError, UsageError
from fmnist_edge.model_info import INPUT_NAME, OUTPUT_NAME, side_json_path, vectors_path
from fmnist_edge.pictures import named_collections
from fmnist_edge.session import open_session

DEFAULT_VERSION: Final = "1.0.0"
CALIBRATION: Final = slice(0, 55_000, 55)  # images of the training split whose ranges the general way takes
ANY: Final = Limits(1.0, 0.0, 1.0, 1.0)  # what --allow-worse asks of the quantizer


def convert(
    source: Path,
    *,
    data: Path | None = None,
    name: str | None = None,
    model_version: str = DEFAULT_VERSION,
    input_form: str | None = None,
    max_drop: float | None = None,
    min_agreement: float | None = None,
    keep_fp32: bool = False,
    allow_worse: bool = False,
    pictures: Sequence[Path] = (),
    photos: Path | None = None,
    progress: Progress = SILENT,
) -> Conversion:
    """Convert a network and measure the result; nothing is written yet.

    `name` is the name of model and files, by default that of the source. `max_drop` (0..1) and `min_agreement` (0..1)
    replace the limits of the gate. Where it does not hold, the result has no int8 file (unless `allow_worse`), and the
    fp32 file only with `keep_fp32`. A photo model is calibrated and measured on collections of `pictures`, and on the
    public `photos`: see `named_collections`.
    Raises ModelError, DataError, UsageError.
    """
    name = plain_name(name or source.name.removesuffix(source.suffix))
    progress.step(f"loading {source.name}")
    original = open_original(source, input_form=input_form)
    limits = _limits(original, max_drop, min_agreement)
    if original.is_photo and input_form is not None:
        raise UsageError("--input-form has no effect on a photo model, which takes the picture itself")
    if pictures and not original.is_photo:
        raise UsageError("--pictures has no effect on a classifier of the dataset's images")
    if original.is_photo:
        return convert_photo_model(
            original,
            collections=named_collections(pictures, photos),
            data=data,
            name=name,
            model_version=model_version,
            limits=limits,
            allow_worse=allow_worse,
            progress=progress,
        )
    train, test = load_split("train", data), load_split("test", data)
    progress.step("input form, on training images")
    original, report = with_measured_form(original, train)
    notes = [*original.notes, report.summary, *([report.warning] if report.warning else [])]
    progress.step("fp32 graph")
    fp32 = export_fp32(original)
    description = CONTRACT | describe(name, model_version, original.sha256, original.record)
    if not is_own(original):
        description |= {"input_form": report.as_record(), "gate": describe_gate(limits)}
    reference = predict_all(original.predict, test.images, progress, "the original on test images")
    try:
        wanted = ANY if allow_worse else limits
        refined_first = original.record.get("recipe") == "default"
        int8 = _quantized(fp32, train, load_split("validation", data), wanted, refined_first, progress)
    except GateError as error:
        return _without_int8(source, fp32, description, reference, test, str(error), keep_fp32, notes)
    measured = _measure(fp32, int8, description, reference, test, limits, progress)
    held = not measured.broken
    files = _files(measured, int8, description, test, own=is_own(original))
    if not held and not allow_worse:
        files = {path: content for path, content in files.items() if keep_fp32 and path.endswith(".fp32.onnx")}
    return Conversion(_rows(source, name, measured), measured.broken, files, notes + int8.notes)


def is_own(original: Original) -> bool:
    """Tell whether this project's `train` made the file: its network keeps tighter limits."""
    return "recipe" in original.record


def _limits(original: Original, max_drop: float | None, min_agreement: float | None) -> Limits:
    limits = PHOTO_LIMITS if original.is_photo else OWN_LIMITS if is_own(original) else DEFAULT_LIMITS
    return replace(
        limits,
        max_drop=limits.max_drop if max_drop is None else max_drop,
        min_agreement=limits.min_agreement if min_agreement is None else min_agreement,
    )


@dataclass(frozen=True)
class _Int8:
    model: onnx.ModelProto
    quantization: dict[str, Any]
    """How it was made, for the metadata."""
    tolerance: float
    """What a probability may differ by on another device."""
    notes: list[str]


def _quantized(
    fp32: onnx.ModelProto, train: Split, validation: Split, limits: Limits, refined_first: bool, progress: Progress
) -> _Int8:
    """Quantize a dense chain in this project's own integer form, anything else by onnxruntime's quantizer.

    The integers are refined, which takes most of a minute, where rounding alone misses the limits on validation images,
    or first of all with `refined_first`, as for the shipped recipe. A chain that misses them all the same goes the
    general way too. Raises GateError.
    """
    judging = Pictures(validation.images, validation.labels)
    chain = read_dense_chain(fp32)
    for refined in (True,) if refined_first else (False, True):
        if chain is None:
            break
        int8 = _quantized_chain(chain, train, refined, progress)
        parity = measure_parity(run(int8.model, judging.inputs), run(fp32, judging.inputs), judging.labels)
        if not broken_limits("int8", parity, limits):
            return int8
    static = quantize_statically(fp32, train.images[CALIBRATION], judging, limits, progress=progress)
    calibration = f"{CALIBRATION.start}:{CALIBRATION.stop}:{CALIBRATION.step}"
    notes = []
    if static.kept_in_float:
        notes.append(f"left in float, as int8 alone misses the limits: {', '.join(static.kept_in_float)}")
    quantization = describe_static(calibration, static.kept_in_float, static.parity)
    return _Int8(static.model, quantization, PHOTO_TOLERANCE, notes)


def _quantized_chain(chain: DenseChain, train: Split, refined: bool, progress: Progress) -> _Int8:
    quantized = quantize_mlp(chain, train.images, refined=refined, progress=progress)
    quantization = describe_mlp(quantized)
    if chain.widths != (784, 128, 10):
        quantization["dense_widths"] = list(chain.widths)
    return _Int8(build_onnx(quantized.network), quantization, TOLERANCE, [])


@dataclass(frozen=True)
class _Measured:
    """Both graphs with their parity against the original."""

    fp32: onnx.ModelProto
    int8: onnx.ModelProto
    parities: tuple[Parity, Parity, Parity]
    """fp32, int8, int8 without graph optimizations."""
    probabilities: NDArray[np.float32]
    """Of int8, on the test images."""
    broken: list[str]


def _measure(
    fp32: onnx.ModelProto,
    int8: _Int8,
    description: dict[str, Any],
    reference: NDArray[np.float32],
    test: Split,
    limits: Limits,
    progress: Progress,
) -> _Measured:
    """Run both graphs as a device would, and int8 without graph optimizations too."""
    with tempfile.TemporaryDirectory() as folder:
        fp32_path, int8_path = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(stamp(fp32, description), fp32_path)
        onnx.save(stamp(int8.model, description), int8_path)
        classifier = Classifier(int8_path)
        outputs = [
            predict_all(predict, test.images, progress, f"{title} on test images")
            for title, predict in (
                ("fp32", Classifier(fp32_path).predict),
                ("int8", classifier.predict),
                ("int8, graph optimizations off,", _unoptimized(int8_path)),
            )
        ]
        difference = batch_difference(int8.model, test.images, outputs[1])
    full, optimized, plain = (measure_parity(output, reference, test.labels) for output in outputs)
    broken = broken_float_limits(full) + broken_limits("int8", optimized, limits)
    broken += broken_limits("int8 without graph optimizations", plain, limits)
    if difference > BATCH_DIFFERENCE:
        broken.append(f"int8: an image alone differs by {difference:.2g} from the same in a batch")
    return _Measured(fp32, int8.model, (full, optimized, plain), outputs[1], broken)


def _unoptimized(path: Path) -> Predictor:
    session = open_session(path, optimized=False)
    return lambda images: np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: images})[0], np.float32)


def _files(
    measured: _Measured, int8: _Int8, description: dict[str, Any], test: Split, *, own: bool
) -> dict[str, bytes]:
    """Return all output files by name: models with their description inside; JSON, vectors and card beside int8."""
    full, optimized, plain = ((one.figures() if own else one.all_figures()) for one in measured.parities)
    figures = {
        "split": "test",
        "keras_accuracy": round(measured.parities[0].reference_accuracy, 4),
        "optimized": optimized,
        "unoptimized": plain,
        "gate": "not held, written with --allow-worse" if measured.broken else "held",
        "recall": recall_by_class(measured.probabilities, test.labels),
    }
    whole = description | describe_graph(measured.int8, "int8") | {"quantization": int8.quantization, "test": figures}
    content = stamp(measured.int8, whole).SerializeToString(deterministic=True)
    model, sha256 = Path(f"{description['name']}.int8.onnx"), hashlib.sha256(content).hexdigest()
    beside = whole | {"file": model.name, "bytes": len(content), "sha256": sha256}
    return {
        **_fp32_file(measured.fp32, description, full),
        vectors_path(model).name: as_json(build_vectors(sha256, test, measured.probabilities, int8.tolerance)),
        side_json_path(model).name: as_json(beside),
        model.with_suffix(".md").name: model_card(beside).encode(),
        model.name: content,
    }


def _fp32_file(fp32: onnx.ModelProto, description: dict[str, Any], figures: dict[str, float | int]) -> dict[str, bytes]:
    whole = description | describe_graph(fp32, "fp32") | {"test": figures}
    return {f"{description['name']}.fp32.onnx": stamp(fp32, whole).SerializeToString(deterministic=True)}


def _without_int8(
    source: Path,
    fp32: onnx.ModelProto,
    description: dict[str, Any],
    reference: NDArray[np.float32],
    test: Split,
    reason: str,
    keep_fp32: bool,
    notes: list[str],
) -> Conversion:
    """Return what is left where no int8 form holds the limits."""
    full = measure_parity(run(fp32, test.images), reference, test.labels)
    files = _fp32_file(fp32, description, full.all_figures())
    rows = [
        Row(source.name, _size(source), None, full.reference_accuracy),
        Row(f"{description['name']}.fp32.onnx", fp32.ByteSize(), full, full.accuracy),
    ]
    return Conversion(rows, [reason], files if keep_fp32 else {}, notes)


def _rows(source: Path, name: str, measured: _Measured) -> list[Row]:
    full, optimized, plain = measured.parities
    return [
        Row(source.name, _size(source), None, full.reference_accuracy),
        Row(f"{name}.fp32.onnx", measured.fp32.ByteSize(), full, full.accuracy),
        Row(f"{name}.int8.onnx", measured.int8.ByteSize(), optimized, optimized.accuracy),
        Row("  graph optimizations off", measured.int8.ByteSize(), plain, plain.accuracy),
    ]


def _size(source: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def plain_name(name: str) -> str:
    """Return a model's name if it can be a file's name; raises UsageError."""
    if not name or Path(name).name != name:
        raise UsageError(f"a model's name must be a plain file name, not {name!r}")
    return name
