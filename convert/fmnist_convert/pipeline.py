"""The whole conversion: a Keras file in, checked and stamped ONNX files out."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from fmnist_convert.card import model_card, recall_by_class
from fmnist_convert.conversion import Conversion, Row, as_json, plain_name
from fmnist_convert.export import export_fp32
from fmnist_convert.facts import accuracy_facts, general_facts, graph_facts, quantization_facts, stamp
from fmnist_convert.input_form import with_measured_form
from fmnist_convert.int8_graph import build_int8
from fmnist_convert.network import read_network
from fmnist_convert.original import open_original
from fmnist_convert.parity import Parity, broken_limits, measure_parity
from fmnist_convert.predictors import open_predictor, open_unoptimized
from fmnist_convert.quantize import Quantized, quantize
from fmnist_convert.vectors import build_vectors
from fmnist_edge.dataset import Split, load_split
from fmnist_edge.model_info import side_json_path, vectors_path

DEFAULT_VERSION = "1.0.0"


def convert(
    source: Path,
    *,
    data: Path | None = None,
    name: str | None = None,
    model_version: str = DEFAULT_VERSION,
) -> Conversion:
    """Convert a .keras classifier and measure the result; nothing is written yet.

    `name` is the name of model and files, by default that of the .keras file. Raises ModelError, DataError.
    """
    name = plain_name(name or source.name.removesuffix(".keras"))
    original = open_original(source)
    train, test = load_split("train", data), load_split("test", data)
    original, _ = with_measured_form(original, train)
    fp32 = export_fp32(original)
    quantized = quantize(read_network(fp32), train.images)
    general = general_facts(name, model_version, original)
    reference = original.predict(test.images)
    measured = _measure(fp32, build_int8(quantized.network), general, reference, test)
    files = _files(measured, general, quantized, test)
    return Conversion(_rows(source, files, measured), measured.broken, files)


@dataclass(frozen=True)
class _Measured:
    """Both graphs with their parity against the Keras probabilities."""

    fp32: onnx.ModelProto
    int8: onnx.ModelProto
    parities: tuple[Parity, Parity, Parity]
    probabilities: NDArray[np.float32]
    broken: list[str]


def _measure(
    fp32: onnx.ModelProto,
    int8: onnx.ModelProto,
    general: dict[str, Any],
    reference: NDArray[np.float32],
    test: Split,
) -> _Measured:
    """Run both graphs as a device would, and int8 without graph optimizations too."""
    with tempfile.TemporaryDirectory() as folder:
        fp32_path, int8_path = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(stamp(fp32, general), fp32_path)
        onnx.save(stamp(int8, general), int8_path)
        probabilities = open_predictor(int8_path)(test.images)
        outputs = (
            open_predictor(fp32_path)(test.images),
            probabilities,
            open_unoptimized(int8_path)(test.images),
        )
    parities = [measure_parity(output, reference, test.labels) for output in outputs]
    full, optimized, plain = parities
    return _Measured(fp32, int8, (full, optimized, plain), probabilities, broken_limits(full, optimized, plain))


def _files(measured: _Measured, general: dict[str, Any], quantized: Quantized, test: Split) -> dict[str, bytes]:
    """Return all output files by name: models with facts inside, JSON, vectors and card beside int8."""
    name = general["name"]
    full, optimized, plain = measured.parities
    held = not measured.broken
    fp32_facts = general | graph_facts(measured.fp32, "fp32") | {"test": full.as_facts()}
    int8_facts = (
        general
        | graph_facts(measured.int8, "int8")
        | {
            "quantization": quantization_facts(quantized),
            "test": accuracy_facts(full.reference_accuracy, optimized, plain, held)
            | {"recall": recall_by_class(measured.probabilities, test.labels)},
        }
    )
    int8_bytes = stamp(measured.int8, int8_facts).SerializeToString(deterministic=True)
    model = Path(f"{name}.int8.onnx")
    sha256 = hashlib.sha256(int8_bytes).hexdigest()
    beside = int8_facts | {"file": model.name, "bytes": len(int8_bytes), "sha256": sha256}
    return {
        f"{name}.fp32.onnx": stamp(measured.fp32, fp32_facts).SerializeToString(deterministic=True),
        vectors_path(model).name: as_json(build_vectors(sha256, test, measured.probabilities)),
        side_json_path(model).name: as_json(beside),
        model.with_suffix(".md").name: model_card(beside).encode(),
        model.name: int8_bytes,
    }


def _rows(source: Path, files: dict[str, bytes], measured: _Measured) -> list[Row]:
    full, optimized, plain = measured.parities
    fp32_name, int8_name = (name for name in files if name.endswith(".onnx"))
    return [
        Row(source.name, source.stat().st_size, None, full.reference_accuracy),
        Row(fp32_name, len(files[fp32_name]), full, full.accuracy),
        Row(int8_name, len(files[int8_name]), optimized, optimized.accuracy),
        Row("  graph optimizations off", len(files[int8_name]), plain, plain.accuracy),
    ]
