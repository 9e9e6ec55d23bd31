"""The whole conversion: a person's network in, checked and stamped ONNX files out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
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
    build_vectors,
    describe,
    describe_graph,
    describe_static,
    int8_files,
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
    Row,
    broken_float_limits,
    broken_limits,
    measure_parity,
    predict_all,
    recall_by_class,
)
from fmnist_convert.progress import SILENT, Progress
from fmnist_convert.quantize import BATCH_DIFFERENCE, Pictures, batch_difference, quantize_statically, run
from fmnist_convert.quantize_mlp import describe_mlp, quantize_mlp
from fmnist_edge.classifier import Classifier
from fmnist_edge.dataset import Split, load_split
from fmnist_edge.errors import GateError, UsageError
from fmnist_edge.model_info import INPUT_NAME, OUTPUT_NAME
from fmnist_edge.pictures import named_collections
from fmnist_edge.session import open_session

CALIBRATION: Final = slice(0, 55_000, 55)  # images of the training split that give onnxruntime's quantizer its ranges
ANY: Final = Limits(1.0, 0.0, 1.0, 1.0)  # what --allow-worse asks of the quantizer


def convert(
    source: Path,
    *,
    data: Path | None = None,
    name: str | None = None,
    model_version: str = "1.0.0",
    input_form: str | None = None,
    max_drop: float | None = None,
    min_agreement: float | None = None,
    keep_fp32: bool = False,
    allow_worse: bool = False,
    pictures: Sequence[Path] = (),
    progress: Progress = SILENT,
) -> Conversion:
    """Convert a network and measure the result; nothing is written yet.

    `name` is the name of model and files, by default that of the source. `max_drop` and `min_agreement` (0..1) replace
    limits of the gate. Where it does not hold, the result has no int8 file (unless `allow_worse`), and the fp32 file
    only with `keep_fp32`. A photo model is calibrated and measured on collections of `pictures`: see
    `named_collections`. Raises ModelError, DataError, GateError (photo models), UsageError.
    """
    name = _file_name(name or source.name.removesuffix(source.suffix))
    progress.step(f"loading {source.name}")
    original = open_original(source, input_form=input_form)
    limits = _limits(original, max_drop, min_agreement)
    if not original.is_photo:
        if pictures:
            raise UsageError("--pictures has no effect on a classifier of the dataset's images")
        return _convert_classifier(original, name, model_version, limits, data, keep_fp32, allow_worse, progress)
    if input_form is not None:
        raise UsageError("--input-form has no effect on a photo model, which takes the picture itself")
    return convert_photo_model(
        original,
        collections=named_collections(pictures),
        data=data,
        name=name,
        model_version=model_version,
        limits=limits,
        allow_worse=allow_worse,
        progress=progress,
    )


def _file_name(name: str) -> str:
    if not name or Path(name).name != name:
        raise UsageError(f"a model's name must be a plain file name, not {name!r}")
    return name


def _is_own(original: Original) -> bool:
    """Tell whether this project's `train` made the file: its network keeps tighter limits."""
    return "recipe" in original.record


def _limits(original: Original, max_drop: float | None, min_agreement: float | None) -> Limits:
    limits = PHOTO_LIMITS if original.is_photo else OWN_LIMITS if _is_own(original) else DEFAULT_LIMITS
    given = {"max_drop": max_drop, "min_agreement": min_agreement}
    return replace(limits, **{key: value for key, value in given.items() if value is not None})


def _convert_classifier(
    original: Original,
    name: str,
    model_version: str,
    limits: Limits,
    data: Path | None,
    keep_fp32: bool,
    allow_worse: bool,
    progress: Progress,
) -> Conversion:
    train, validation, test = (load_split(split, data) for split in ("train", "validation", "test"))
    progress.step("input form, on training images")
    original, report = with_measured_form(original, train)
    notes = [*original.notes, report.summary, *([report.warning] if report.warning else [])]
    progress.step("fp32 graph")
    fp32 = export_fp32(original)
    description = CONTRACT | describe(name, model_version, original.sha256, original.record)
    if not _is_own(original):
        description |= {"input_form": report.as_record(), "gate": asdict(limits)}
    progress.step("original on test images")
    measuring = _Measuring(test, predict_all(original.predict, test.images, progress))
    full, _ = measuring.measure(stamp(fp32, description), progress, "fp32 on test images")
    path = original.path
    rows = [
        Row(path.name, _size(path), None, full.reference_accuracy),
        Row(f"{name}.fp32.onnx", fp32.ByteSize(), full, full.accuracy),
    ]
    fp32_file = _fp32_file(fp32, description, _figures(original, full))
    partial = Conversion(rows, broken_float_limits(full), fp32_file if keep_fp32 else {}, notes)
    wanted, refined_first = ANY if allow_worse else limits, original.record.get("recipe") == "default"
    try:
        int8 = _quantized(fp32, train, validation, wanted, refined_first, progress)
    except GateError as error:
        return replace(partial, broken=[*partial.broken, str(error)])
    result, int8_file = _with_int8(partial, original, int8, description, measuring, limits, progress)
    return replace(result, files=fp32_file | int8_file) if allow_worse or not result.broken else result


def _with_int8(
    partial: Conversion,
    original: Original,
    int8: _Int8,
    description: dict[str, Any],
    measuring: _Measuring,
    limits: Limits,
    progress: Progress,
) -> tuple[Conversion, dict[str, bytes]]:
    """Add the int8 form's rows, broken limits and notes; return its files as well."""
    stamped, test = stamp(int8.model, description), measuring.test
    optimized, probabilities = measuring.measure(stamped, progress, "int8 on test images")
    plain, _ = measuring.measure(stamped, progress, "int8 on test images, graph optimizations off", optimized=False)
    rows = [
        Row(f"{description['name']}.int8.onnx", int8.model.ByteSize(), optimized, optimized.accuracy),
        Row("  graph optimizations off", int8.model.ByteSize(), plain, plain.accuracy),
    ]
    broken = [*partial.broken, *broken_limits("int8", optimized, limits)]
    broken += broken_limits("int8 without graph optimizations", plain, limits)
    difference = batch_difference(int8.model, test.images, probabilities)
    if difference > BATCH_DIFFERENCE:
        broken.append(f"int8: an image alone differs by {difference:.2g} from the same in a batch")
    figures = {
        "split": "test",
        "keras_accuracy": round(plain.reference_accuracy, 4),
        "optimized": _figures(original, optimized),
        "unoptimized": _figures(original, plain),
        "gate": "not held, written with --allow-worse" if broken else "held",
        "recall": recall_by_class(probabilities, test.labels),
    }
    whole = description | describe_graph(int8.model, "int8") | {"quantization": int8.quantization, "test": figures}
    files = int8_files(int8.model, whole, lambda sha256, _: build_vectors(sha256, test, probabilities, int8.tolerance))
    return replace(partial, rows=partial.rows + rows, broken=broken, notes=partial.notes + int8.notes), files


@dataclass(frozen=True)
class _Measuring:
    """The test images and the original's answers to them."""

    test: Split
    reference: NDArray[np.float32]  # float32 [10000, 10]

    def measure(
        self, model: onnx.ModelProto, progress: Progress, step: str, *, optimized: bool = True
    ) -> tuple[Parity, NDArray[np.float32]]:
        """Run a stamped graph as a device would; return its parity with the original, and its probabilities."""
        progress.step(step)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            onnx.save(model, path)
            predict = Classifier(path).predict if optimized else _unoptimized(path)
            found = predict_all(predict, self.test.images, progress)
        return measure_parity(found, self.reference, self.test.labels), found


def _unoptimized(path: Path) -> Any:
    session = open_session(path, optimized=False)
    return lambda images: np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: images})[0], np.float32)


@dataclass(frozen=True)
class _Int8:
    model: onnx.ModelProto
    quantization: dict[str, Any]  # how it was made, for the metadata
    tolerance: float  # what a probability may differ by on another device
    notes: list[str] = field(default_factory=list)


def _quantized(
    fp32: onnx.ModelProto, train: Split, validation: Split, limits: Limits, refined_first: bool, progress: Progress
) -> _Int8:
    """Quantize a dense chain in this project's own integer form, anything else by onnxruntime's quantizer.

    The integers are refined, which takes most of a minute, only if rounding without it misses the limits on validation
    images, or at once with `refined_first`, as for the shipped recipe. A chain that still misses them goes to
    onnxruntime's quantizer. Raises GateError.
    """
    judging = Pictures(validation.images, validation.labels)
    chain = read_dense_chain(fp32)
    if chain is not None:
        reference = run(fp32, judging.inputs)
        for refined in (True,) if refined_first else (False, True):
            int8 = _quantized_chain(chain, train, refined, progress)
            parity = measure_parity(run(int8.model, judging.inputs), reference, judging.labels)
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
    return _Int8(build_onnx(quantized.network), quantization, TOLERANCE)


def _figures(original: Original, parity: Parity) -> dict[str, float | int]:
    return parity.figures() if _is_own(original) else parity.all_figures()


def _fp32_file(fp32: onnx.ModelProto, description: dict[str, Any], figures: dict[str, float | int]) -> dict[str, bytes]:
    whole = description | describe_graph(fp32, "fp32") | {"test": figures}
    return {f"{description['name']}.fp32.onnx": stamp(fp32, whole).SerializeToString(deterministic=True)}


def _size(source: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [source] if source.is_file() else source.rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())
