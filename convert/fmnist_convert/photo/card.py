"""The model card of the photo model, from the facts that stand beside it (Markdown)."""

from __future__ import annotations

from typing import Any


def photo_card(facts: dict[str, Any]) -> str:
    """Return the card of a photo model."""
    return "\n\n".join([_title(facts), _use(facts), _measured(facts), _origin(facts), _limits(facts)]) + "\n"


def _title(facts: dict[str, Any]) -> str:
    return (
        f"# {facts['name']} {facts['version']}\n\n"
        "Finds the garment in a photo, draws it as the authors of Fashion-MNIST drew theirs, and names it: one file, "
        "with all preprocessing inside.\n\n"
        f"- file: `{facts['file']}`, {facts['bytes']:,} bytes, SHA-256 `{facts['sha256']}`\n"
        f"- ONNX opset {facts['opset']}, IR version {facts['ir_version']}, {facts['nodes']} standard nodes\n"
        f"- licence: {facts['licence']}; Fashion-MNIST is (c) 2017 Zalando SE, MIT"
    )


def _use(facts: dict[str, Any]) -> str:
    others = "\n".join(f"- output `{name}`: {meaning}" for name, meaning in facts["other_outputs"].items())
    return (
        "## Use\n\n"
        f"- input `{facts['input']['name']}`: uint8 [height, width, 3], {facts['input']['meaning']}\n"
        f"- output `{facts['output']['name']}`: float32 [1, 10], {facts['output']['meaning']}\n{others}\n"
        f"- labels, in order: {', '.join(facts['labels'])}\n"
        f"- unsure below a probability of {facts['unsure_below']:.2f}"
    )


def _measured(facts: dict[str, Any]) -> str:
    lines = [
        "## Measured",
        "",
        "| pictures | count | accuracy | same label as the fp32 graph |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, row in facts["measured"].items():
        lines.append(f"| {name} | {row['images']} | {row['accuracy']:.4f} | {row['agreement']:.2%} |")
    lines += ["", "Scenes are garments of the dataset drawn over grounds that no training has seen. The training"]
    lines[-1] += " photos were trained on, so their row says nothing of accuracy; that of validation photos does."
    return "\n".join([*lines, *_by_class(facts["measured"])])


def _by_class(measured: dict[str, Any]) -> list[str]:
    """Return the table of accuracy by class on what comes nearest to use: photos, or else scenes of test images."""
    name = "validation photos" if "validation photos" in measured else "test scenes"
    rows = [f"| {label} | {share:.3f} |" for label, share in measured[name]["classes"].items()]
    return ["", f"| {name} of | share labelled rightly |", "| --- | ---: |", *rows]


def _origin(facts: dict[str, Any]) -> str:
    parts = "\n".join(
        f"- {part}: Keras file SHA-256 `{facts[part]['sha256']}`, recipe `{facts[part].get('recipe', 'not recorded')}`"
        f", seed {facts[part].get('seed', 'not recorded')}"
        for part in ("segmenter", "head")
    )
    return (
        f"## Origin\n\n{parts}\n- trained on: {facts['training_data']}\n"
        "- pictures that look like the dataset already go through the layers of the classifier "
        f"`{facts['classifier_sha256']}`"
    )


def _limits(_facts: dict[str, Any]) -> str:
    return (
        "## Limits\n\n"
        "One garment, lying or hanging, seen from the front, on a ground that differs from it. Coats, dresses and "
        "shirts are its weakest classes, and the kinds of shoes were never told apart in training photos. It knows "
        "bags from catalogue pictures only. Garments on people, several garments, and grounds of the garment's own "
        "colour come out wrong or unsure. Do not use it to decide anything about people."
    )
