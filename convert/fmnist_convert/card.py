"""The model card: the facts of a model file, as a page for people (Markdown)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import LABELS


def recall_by_class(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> dict[str, float]:
    """Return, for each class, the share of its images that get its label; float32 [n, 10], uint8 [n]."""
    right = probabilities.argmax(axis=1) == labels
    return {name: round(float(right[labels == index].mean()), 4) for index, name in enumerate(LABELS)}


def model_card(facts: dict[str, Any]) -> str:
    """Return the card of an int8 classifier from the facts that stand beside it."""
    sections = [_title(facts), _use(facts), _measured(facts), _origin(facts), _limits()]
    return "\n\n".join(sections) + "\n"


def _title(facts: dict[str, Any]) -> str:
    return (
        f"# {facts['name']} {facts['version']}\n\n"
        "A 784-128-10 perceptron that names the garment in a 28x28 picture, trained on Fashion-MNIST and quantized "
        f"to {facts['precision']}.\n\n"
        f"- file: `{facts['file']}`, {facts['bytes']:,} bytes, SHA-256 `{facts['sha256']}`\n"
        f"- ONNX opset {facts['opset']}, IR version {facts['ir_version']}, operators: {', '.join(facts['operators'])}\n"
        f"- licence: {facts['licence']}; the training data is Fashion-MNIST, (c) 2017 Zalando SE, MIT"
    )


def _use(facts: dict[str, Any]) -> str:
    given, made = facts["input"], facts["output"]
    return (
        "## Use\n\n"
        f"- input `{given['name']}`: {given['dtype']} {_shape(given['shape'])}, {given['meaning']}\n"
        f"- output `{made['name']}`: {made['dtype']} {_shape(made['shape'])}, {made['meaning']}\n"
        f"- labels, in order: {', '.join(facts['labels'])}"
    )


def _measured(facts: dict[str, Any]) -> str:
    figures = facts["test"]
    lines = [
        "## Measured on the 10,000 test images",
        "",
        "| run | accuracy | same label as the Keras original | labels that differ | max \\|dp\\| |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| Keras original | {figures['keras_accuracy']:.4f} | | | |",
    ]
    for key, title in (("optimized", "int8, as deployed"), ("unoptimized", "int8, graph optimizations off")):
        row = figures[key]
        lines.append(
            f"| {title} | {row['accuracy']:.4f} | {row['agreement']:.2%} | {row['different_labels']} "
            f"| {row['max_difference']:.4f} |"
        )
    lines += [
        "",
        f"Parity gate: {figures['gate']}.",
        "",
        "| class | share labelled rightly |",
        "| --- | ---: |",
    ]
    lines += [f"| {name} | {share:.3f} |" for name, share in figures["recall"].items()]
    return "\n".join(lines)


def _origin(facts: dict[str, Any]) -> str:
    quantization, original = facts["quantization"], facts["original"]
    refined = f", refined on {quantization['refinement_indices']}" if "refinement_indices" in quantization else ""
    trained = f"recipe `{original['recipe']}`, seed {original['seed']}" if "recipe" in original else "not recorded"
    return (
        "## Origin\n\n"
        f"- Keras original: SHA-256 `{original['sha256']}`; {trained}\n"
        f"- quantization: {quantization['form']}; {quantization['method']}\n"
        f"- calibration: images {quantization['calibration_indices']} of the {quantization['split']} split{refined}, "
        f"choices on {quantization['choice_indices']}; the test images were only measured on\n"
        f"- weights lie in {quantization['weight_range']}, and adjacent pairs sum to at most "
        f"{quantization['pair_limit']}, so every CPU computes the same integers"
    )


def _limits() -> str:
    return (
        "## Limits\n\n"
        "It knows ten kinds of garments from small, grey, centred catalogue pictures on plain ground, and nothing "
        "else: it has no answer for 'none of these', confuses shirts with t-shirts, pullovers and coats most, and does "
        "not work on unprepared photos. Do not use it to decide anything about people."
    )


def _shape(shape: list[Any]) -> str:
    return f"[{', '.join(str(side) for side in shape)}]"
