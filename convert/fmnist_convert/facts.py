"""What a model file says of itself: the same facts in its metadata, in the JSON beside it, and in its card."""

from __future__ import annotations

import json
from collections import Counter
from importlib.metadata import version
from typing import Any, Final

import onnx

from fmnist_convert.original import Original
from fmnist_convert.parity import Parity
from fmnist_convert.quantize import Quantized
from fmnist_convert.rounding import PAIR_LIMIT, WEIGHT_LIMIT
from fmnist_edge import __version__
from fmnist_edge.contract import (
    BATCH_DIMENSION,
    IMAGE_SIDE,
    INPUT_NAME,
    LABELS,
    MASK_NAME,
    MASK_SIDE,
    OUTPUT_NAME,
    PHOTO_MAX_SIDE,
    PHOTO_NAME,
)
from fmnist_edge.dataset import SHA256
from fmnist_edge.model_info import facts_from_metadata

SCHEMA: Final = 1  # of these facts; raised when a key changes its meaning
TOOLS: Final = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy")

CONTRACT: Final[dict[str, Any]] = {
    "kind": "classifier",
    "labels": list(LABELS),
    "input": {
        "name": INPUT_NAME,
        "dtype": "uint8",
        "shape": [BATCH_DIMENSION, IMAGE_SIDE, IMAGE_SIDE],
        "range": [0, 255],
        "meaning": "grey levels as in Fashion-MNIST: garment bright on black; the scaling by 1/255 is inside",
    },
    "output": {
        "name": OUTPUT_NAME,
        "dtype": "float32",
        "shape": [BATCH_DIMENSION, len(LABELS)],
        "meaning": "softmax probabilities in the order of labels; each row sums to 1",
    },
}

PHOTO_CONTRACT: Final[dict[str, Any]] = {
    "kind": "photo",
    "labels": list(LABELS),
    "input": {
        "name": PHOTO_NAME,
        "dtype": "uint8",
        "shape": ["height", "width", 3],
        "range": [0, 255],
        "meaning": f"RGB pixels of a photo, sides of 1..{PHOTO_MAX_SIDE}: reduce larger ones first",
    },
    "output": {
        "name": OUTPUT_NAME,
        "dtype": "float32",
        "shape": [1, len(LABELS)],
        "meaning": "softmax probabilities in the order of labels; below unsure_below the answer is unsure",
    },
    "other_outputs": {
        INPUT_NAME: "uint8 [28, 28]: what the head saw",
        MASK_NAME: f"uint8 [{MASK_SIDE}, {MASK_SIDE}]: where the garment is in the whole photo, 0..255; "
        "all 0 where the picture needed no mask",
    },
}


def general_facts(name: str, model_version: str, original: Original) -> dict[str, Any]:
    """Return what holds for every form of the model: contract, origin, data, tools, licence."""
    return {
        **CONTRACT,
        **_made_of(name, model_version),
        "original": _origin(original),
    }


def photo_facts(
    name: str, model_version: str, segmenter: Original, head: Original, classifier_sha256: str, quantized: Quantized
) -> dict[str, Any]:
    """Return what holds for a photo model, and how its head was quantized."""
    return {
        **PHOTO_CONTRACT,
        **_made_of(name, model_version),
        "segmenter": _origin(segmenter),
        "head": _origin(head),
        "classifier_sha256": classifier_sha256,
        "drawing": segmenter.record["drawing"],
        "unsure_below": float(head.record.get("unsure_below", 0.0)),
        "training_data": head.record.get("training_data", "not recorded"),
        "quantization": quantization_facts(quantized)
        | {
            "form": "static, in integers that every runtime computes alike: QLinearConv, ConvInteger, MatMulInteger",
            "split": "train",
            "calibration_indices": "every 110th image, and drawings of scenes of every second of the last 1,000",
            "choice_indices": "as many others",
            "segmenter": "uint8 activations in the ranges that training recorded; int8 kernels within +-64",
        },
    }


def _made_of(name: str, model_version: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": name,
        "version": model_version,
        "dataset": {"name": "Fashion-MNIST", "sha256": dict(SHA256)},
        "tools": {"fmnist-edge": __version__, **{tool: version(tool) for tool in TOOLS}},
        "licence": "MIT",
    }


def _origin(original: Original) -> dict[str, Any]:
    """Return which Keras file it was, and by which recipe and seed it was trained."""
    known: dict[str, Any] = {key: original.record[key] for key in ("recipe", "seed") if key in original.record}
    return {"sha256": original.sha256, **known}


def graph_facts(model: onnx.ModelProto, precision: str) -> dict[str, Any]:
    """Return what can be read off a graph: precision, opset, IR version, operators with their counts."""
    counts = Counter(node.op_type for node in model.graph.node)
    return {
        "precision": precision,
        "opset": model.opset_import[0].version,
        "ir_version": model.ir_version,
        "nodes": len(model.graph.node),
        "operators": dict(sorted(counts.items())),
    }


_REFINED: Final = {
    "refinement": "hidden weights moved by single steps to keep that gap; refinement and choice see each image "
    "mirrored, too",
    "refinement_indices": "0:55000:5, 1:55000:5, 2:55000:5, 3:55000:5",
}


def quantization_facts(quantized: Quantized) -> dict[str, Any]:
    """Return how the integers were chosen, with the images that were seen."""
    return {
        "form": "static QDQ: uint8 activations, int8 weights with a scale for each output channel",
        "weight_range": [-WEIGHT_LIMIT, WEIGHT_LIMIT],
        "pair_limit": PAIR_LIMIT,
        "split": "train",
        "calibration_indices": "0:55000:5",
        "choice_indices": "4:55000:5",
        "method": "units equalized and paired, rounding with error compensation and descent, last layer refitted; "
        "images weighted by the closeness of their two best logits, choices by the least error of that gap",
        "equalization": quantized.equalization,
        "coverage": quantized.coverage,
        "gap_error": round(quantized.gap_error, 4),
    } | (_REFINED if quantized.refined else {})


def accuracy_facts(keras_accuracy: float, optimized: Parity, plain: Parity, gate_held: bool) -> dict[str, Any]:
    """Return accuracy and parity on the test images, with and without graph optimizations."""
    return {
        "split": "test",
        "keras_accuracy": round(keras_accuracy, 4),
        "optimized": optimized.as_facts(),
        "unoptimized": plain.as_facts(),
        "gate": "held" if gate_held else "not held, written with --allow-worse",
    }


def stamp(model: onnx.ModelProto, facts: dict[str, Any]) -> onnx.ModelProto:
    """Return a copy with the facts as metadata_props: one entry a key, sorted."""
    stamped = onnx.ModelProto()
    stamped.CopyFrom(model)
    del stamped.metadata_props[:]
    for key in sorted(facts):
        stamped.metadata_props.add(key=key, value=_as_text(facts[key]))
    return stamped


def _as_text(value: Any) -> str:
    """Return plain text as it is, all else as JSON; text that looks like JSON ("1.10") is quoted."""
    if isinstance(value, str) and facts_from_metadata({"": value}) == {"": value}:
        return value
    return json.dumps(value, sort_keys=True)
