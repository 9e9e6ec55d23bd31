"""What comes with a model file: its metadata, the same as JSON, the model card (Markdown), and self-test vectors."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import PIL.Image
from numpy.typing import NDArray

from fmnist_convert.parity import Parity, Row
from fmnist_edge import __version__
from fmnist_edge.atomic import write_atomically
from fmnist_edge.dataset import SHA256, Split
from fmnist_edge.model_info import (
    BATCH_DIMENSION,
    IMAGE_SIDE,
    INPUT_NAME,
    LABELS,
    OUTPUT_NAME,
    PHOTO_NAME,
    decode_metadata,
    side_json_path,
    vectors_path,
)

SCHEMA: Final = 1  # of the description and of the vectors; raised when a key changes its meaning
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
        "meaning": "RGB pixels of a picture of any size; reduce large ones first, by any averaging filter, to a long "
        "side of 128 to 512 pixels",
    },
    "output": {
        "name": OUTPUT_NAME,
        "dtype": "float32",
        "shape": [1, len(LABELS)],
        "meaning": "softmax probabilities in the order of labels; below unsure_below the answer is unsure",
    },
    "other_outputs": {
        "saw": "float32 [rows, columns] in 0..1: where the answer was seen (class activation map), over the whole "
        "picture, in its aspect ratio"
    },
}
# Devices agree on the integers to the bit; their exp() differs in the last places (measured: 2.4e-7 at most).
TOLERANCE: Final = 1e-6
# Of a photo model. A filter in float can move a pixel by a grey level, and runtimes round the int8 convolutions
# differently: x86 CPUs agree within 2.4e-7, onnxruntime-web differs by up to 0.047 (measured on 300 pictures).
PHOTO_TOLERANCE: Final = 0.06
SAW_TOLERANCE: Final = 0.15
PER_CLASS: Final = 2  # test images among a classifier's vectors
# A photo model's vectors: of each of these classes the first test image, enlarged by a factor, in (height, width).
DRAWN: Final = ((0, 4, (150, 120)), (1, 5, (160, 140)), (3, 3, (84, 84)), (5, 4, (112, 200)), (8, 2, (60, 80)))
COLOURS: Final = 16  # of a drawn picture, so that five of them take a few KB
SOURCE: Final = "Fashion-MNIST test split, Copyright (c) 2017 Zalando SE, MIT licence"

PhotoAnswer = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Picture uint8 [height, width, 3] to probabilities float32 [10] and `saw` float32 [rows, columns]."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion measured, and the files it is ready to write."""

    rows: list[Row]
    broken: list[str]  # the limits of the parity gate that do not hold
    files: dict[str, bytes]
    """File name to content, the int8 model last; no int8 model, and nothing of it, where a limit is broken."""
    notes: list[str] = field(default_factory=list)  # what a person should know: warnings, tensors left in float

    def write(self, folder: Path) -> list[Path]:
        """Write every file into `folder`, each in one step. Raises OutputError."""
        for name, content in self.files.items():
            write_atomically(folder / name, content)
        return [folder / name for name in self.files]


def int8_files(
    model: onnx.ModelProto, description: Mapping[str, Any], vectors: Callable[[str, bytes], dict[str, Any]]
) -> dict[str, bytes]:
    """Return an int8 model's files by name, the stamped model last; `vectors` makes them of its SHA-256 and bytes."""
    content = stamp(model, description).SerializeToString(deterministic=True)
    path, sha256 = Path(f"{description['name']}.int8.onnx"), hashlib.sha256(content).hexdigest()
    beside = {**description, "file": path.name, "bytes": len(content), "sha256": sha256}
    return {
        vectors_path(path).name: _as_json(vectors(sha256, content)),
        side_json_path(path).name: _as_json(beside),
        path.with_suffix(".md").name: _model_card(beside).encode(),
        path.name: content,
    }


def describe(name: str, model_version: str, original_sha256: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds for every form of a model: origin, data, tools, licence. `record` is what training wrote."""
    known = {key: record[key] for key in ("recipe", "seed") if key in record}
    return {
        "schema": SCHEMA,
        "name": name,
        "version": model_version,
        "dataset": {"name": "Fashion-MNIST", "sha256": dict(SHA256)},
        "tools": {"fmnist-edge": __version__, **{tool: version(tool) for tool in TOOLS}},
        "licence": "MIT",
        "original": {"sha256": original_sha256, **known},
    }


def describe_graph(model: onnx.ModelProto, precision: str) -> dict[str, Any]:
    """Return what can be read off a graph: precision, opset, IR version, operators with their counts."""
    counts = Counter(node.op_type for node in model.graph.node)
    return {
        "precision": precision,
        "opset": model.opset_import[0].version,
        "ir_version": model.ir_version,
        "nodes": len(model.graph.node),
        "operators": dict(sorted(counts.items())),
    }


def describe_static(
    calibration: str, kept_in_float: Sequence[str], validation: Parity, operators: Sequence[str] = ()
) -> dict[str, Any]:
    """Return how onnxruntime's quantizer was used; `calibration` and `operators` say on what."""
    return {
        "way": "onnxruntime",
        "form": "static QDQ: uint8 activations, int8 weights with a scale for each output channel",
        "method": "onnxruntime.quantization.quantize_static, ranges by minimum and maximum, then accuracy control",
        "weight_range": [-64, 64],
        "split": "train",
        "calibration_indices": calibration,
        "kept_in_float": list(kept_in_float),
        "validation": validation.figures(),
    } | ({"integer_operators": list(operators)} if operators else {})


def stamp(model: onnx.ModelProto, description: Mapping[str, Any]) -> onnx.ModelProto:
    """Return a copy with a description as metadata_props: one entry a key, sorted."""
    stamped = copy.deepcopy(model)
    del stamped.metadata_props[:]
    for key in sorted(description):
        stamped.metadata_props.add(key=key, value=_as_text(description[key]))
    return stamped


def _as_json(content: Mapping[str, Any]) -> bytes:
    """Return a JSON file's bytes: sorted keys, so that the same content gives the same bytes."""
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _as_text(value: Any) -> str:
    """Return plain text as it is, all else as JSON; text that looks like JSON ("1.10") is quoted."""
    if isinstance(value, str) and decode_metadata({"": value}) == {"": value}:
        return value
    return json.dumps(value, sort_keys=True)


def _model_card(description: Mapping[str, Any]) -> str:
    """Return the card of an int8 classifier or photo model from its description."""
    photo = description["kind"] == "photo"
    sections = [
        _title(description),
        _use(description),
        _measured_pictures(description) if photo else _measured_images(description),
        _origin(description),
        _PHOTO_LIMITS if photo else _LIMITS,
    ]
    return "\n\n".join(sections) + "\n"


_LIMITS: Final = (
    "## Limits\n\n"
    "It knows ten kinds of garments from small, grey, centred catalogue pictures on plain ground, and nothing else: it "
    "has no answer for 'none of these', confuses shirts with t-shirts, pullovers and coats most, and does not work on "
    "unprepared photos. Do not use it to decide anything about people."
)
_PHOTO_LIMITS: Final = (
    "## Limits\n\n"
    "One garment in the picture, worn or not; of several it names one, and `saw` shows which. It was trained on phone "
    "photos and catalogue pictures: other sources are harder. Do not use it to decide anything about people."
)


def _title(description: Mapping[str, Any]) -> str:
    if description["kind"] == "photo":
        what = "Names the garment in a picture of any size; all preprocessing is inside. Quantized to int8."
    elif "dense_widths" in description["quantization"] or "way" not in description["quantization"]:
        widths = "-".join(map(str, description["quantization"].get("dense_widths", (784, 128, 10))))
        what = f"A {widths} perceptron that names the garment in a 28x28 picture, trained on Fashion-MNIST and "
        what += f"quantized to {description['precision']}."
    else:
        what = "Names the garment in a 28x28 picture of Fashion-MNIST's kind; quantized to int8."
    return (
        f"# {description['name']} {description['version']}\n\n{what}\n\n"
        f"- file: `{description['file']}`, {description['bytes']:,} bytes, SHA-256 `{description['sha256']}`\n"
        f"- ONNX opset {description['opset']}, IR version {description['ir_version']}, operators: "
        f"{', '.join(description['operators'])}\n"
        f"- licence: {description['licence']}; Fashion-MNIST is (c) 2017 Zalando SE, MIT"
    )


def _use(description: Mapping[str, Any]) -> str:
    given, made = description["input"], description["output"]
    lines = [
        f"- input `{given['name']}`: {given['dtype']} [{', '.join(map(str, given['shape']))}], {given['meaning']}",
        f"- output `{made['name']}`: {made['dtype']} [{', '.join(map(str, made['shape']))}], {made['meaning']}",
        *(f"- output `{name}`: {meaning}" for name, meaning in description.get("other_outputs", {}).items()),
        f"- labels, in order: {', '.join(description['labels'])}",
    ]
    if "unsure_below" in description:
        lines.append(f"- unsure below a probability of {description['unsure_below']:.2f}")
    if "input_form" in description:
        lines.append(f"- the original's own input: {description['input_form']['form']}; the file does this inside")
    return "## Use\n\n" + "\n".join(lines)


def _measured_images(description: Mapping[str, Any]) -> str:
    figures = description["test"]
    lines = [
        "## Measured on the 10,000 test images",
        "",
        "| run | accuracy | same label as the original | labels that differ | max \\|dp\\| |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| original | {figures['keras_accuracy']:.4f} | | | |",
    ]
    for key, title in (("optimized", "int8, as deployed"), ("unoptimized", "int8, graph optimizations off")):
        row = figures[key]
        line = f"| {title} | {row['accuracy']:.4f} | {row['agreement']:.2%} | {row['different_labels']} "
        lines.append(line + f"| {row['max_difference']:.4f} |")
    limits = ""
    if gate := description.get("gate"):
        limits = (
            f" (at most {gate['max_drop'] * 100:.2g} points of accuracy, same label for {gate['min_agreement']:.2%})"
        )
    lines += ["", f"Parity gate: {figures['gate']}{limits}."]
    lines += ["", "| class | share labelled rightly |", "| --- | ---: |"]
    lines += [f"| {name} | {share:.3f} |" for name, share in figures["recall"].items()]
    return "\n".join(lines)


def _measured_pictures(description: Mapping[str, Any]) -> str:
    lines = [
        "## Measured",
        "",
        "| pictures | count | accuracy | accuracy of fp32 | same label as fp32 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, row in description["measured"].items():
        figures = f"{row['accuracy']:.4f} | {row['fp32_accuracy']:.4f} | {row['agreement']:.2%}"
        lines.append(f"| {name} | {row['images']} | {figures} |")
    return "\n".join([*lines, "", "No choice was based on these pictures."])


def _origin(description: Mapping[str, Any]) -> str:
    quantization, original = description["quantization"], description["original"]
    trained = f"recipe `{original['recipe']}`, seed {original['seed']}" if "recipe" in original else "not recorded"
    pairs = f", and adjacent pairs sum to at most {quantization['pair_limit']}" if "pair_limit" in quantization else ""
    lines = [
        f"- original: SHA-256 `{original['sha256']}`; training: {trained}",
        f"- quantization: {quantization['form']}; {quantization['method']}",
        f"- calibration: {_calibration(quantization)}; nothing was chosen on what is reported",
        f"- weights lie in {quantization['weight_range']}{pairs}, so no CPU saturates",
    ]
    if quantization.get("kept_in_float"):
        lines.append(f"- left in float, as int8 missed the gate: {', '.join(quantization['kept_in_float'])}")
    if "training_data" in description:
        lines.append(f"- trained on: {_collections(description['training_data'])}")
    return "## Origin\n\n" + "\n".join(lines)


def _calibration(quantization: Mapping[str, Any]) -> str:
    seen = str(quantization["calibration_indices"])
    if "choice_indices" not in quantization:
        return f"images {seen} of the train split" if ":" in seen else seen
    refined = f", refined on {quantization['refinement_indices']}" if "refinement_indices" in quantization else ""
    return f"images {seen} of the {quantization['split']} split{refined}, choices on {quantization['choice_indices']}"


def _collections(data: Any) -> str:
    """Return what training recorded of its data: a sentence, or collections with their numbers of pictures."""
    if not isinstance(data, list) or not all(
        isinstance(one, dict) and {"name", "pictures"} <= set(one) for one in data
    ):
        return data if isinstance(data, str) else json.dumps(data, sort_keys=True)
    return ", ".join(f"{one['name']} ({one['pictures']:,} pictures)" for one in data)


def build_vectors(
    sha256: str, test: Split, probabilities: NDArray[np.float32], tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Return a classifier's vectors, ready for JSON; `probabilities` are float32 [10000, 10] of the test split."""
    return {
        "schema": SCHEMA,
        "model_sha256": sha256,
        "source": SOURCE,
        "tolerance": tolerance,
        "images": [
            {
                "index": int(index),
                "label": int(test.labels[index]),
                "pixels": base64.b64encode(test.images[index].tobytes()).decode("ascii"),
                "probabilities": _rounded(probabilities[index]),
            }
            for index in _first_of_each_class(test.labels)
        ],
    }


def _first_of_each_class(labels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the indices of the first two images of each class, 20 in all, sorted (never by their answer)."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:PER_CLASS] for label in range(len(LABELS))]))


def build_photo_vectors(sha256: str, answer: PhotoAnswer, test: Split) -> dict[str, Any]:
    """Return a photo model's vectors, ready for JSON: drawn pictures of several sizes, and a line of one pixel."""
    return {
        "schema": SCHEMA,
        "model_sha256": sha256,
        "source": f"{SOURCE}; coloured and enlarged by fmnist-edge",
        "tolerance": PHOTO_TOLERANCE,
        "saw_tolerance": SAW_TOLERANCE,
        "photos": [_photo_entry(what, picture, answer) for what, picture in _pictures(test)],
    }


def _pictures(test: Split) -> Iterator[tuple[str, PIL.Image.Image]]:
    random = np.random.default_rng(1)
    for label, factor, size in DRAWN:
        image = test.images[np.flatnonzero(test.labels == label)[0]]
        yield f"drawn {LABELS[label]}", _drawn(image, factor, size, random)
    yield "a line", PIL.Image.fromarray(random.integers(0, 256, (1, 500, 3)).astype(np.uint8))


def _drawn(
    image: NDArray[np.uint8], factor: int, size: tuple[int, int], random: np.random.Generator
) -> PIL.Image.Image:
    """Return a garment of the dataset in two colours, enlarged, in the middle of a plain background."""
    background, light, dark = random.uniform([190, 120, 20], [250, 220, 100], (3, 3)).T
    large = PIL.Image.fromarray(image).resize((28 * factor, 28 * factor), PIL.Image.Resampling.BICUBIC)
    level = np.asarray(large, np.float64)[..., None] / 255
    garment = light + (dark - light) * level
    cover = np.clip(level * 8, 0, 1)
    canvas = np.tile(background, (*size, 1))
    top, left = ((room - len(garment)) // 2 for room in size)
    place = canvas[top : top + len(garment), left : left + len(garment)]
    place += cover * (garment - place)
    picture = PIL.Image.fromarray(np.rint(canvas).astype(np.uint8))
    return picture.quantize(COLOURS, dither=PIL.Image.Dither.NONE)


def _photo_entry(what: str, picture: PIL.Image.Image, answer: PhotoAnswer) -> dict[str, Any]:
    probabilities, saw = answer(np.asarray(picture.convert("RGB")))
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return {
        "what": what,
        "png": base64.b64encode(content.getvalue()).decode("ascii"),
        "probabilities": _rounded(probabilities),
        "saw": {
            "rows": saw.shape[0],
            "columns": saw.shape[1],
            "values": base64.b64encode(np.rint(saw * 255).astype(np.uint8).tobytes()).decode("ascii"),
        },
    }


def _rounded(probabilities: NDArray[np.float32]) -> list[float]:
    return [float(f"{value:.9g}") for value in probabilities]
