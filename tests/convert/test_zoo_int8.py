"""Every network of the zoo through the whole conversion: its int8 file is checked against the network itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from fmnist_convert.convert import convert
from fmnist_edge.dataset import load_split

from .zoo import BUILDERS, conv_features, network, probabilities_of, torch_like, torch_weights

pytestmark = pytest.mark.stress


def assert_int8_answers_alike(source: Path, reference: np.ndarray, folder: Path) -> None:
    """Convert a file and run its int8 model as a device would: labels, accuracy and probabilities hold the limits."""
    conversion = convert(source)
    assert conversion.broken == []
    path = conversion.write(folder)[-1]
    test = load_split("test")
    found = onnxruntime.InferenceSession(path).run(["probabilities"], {"image": test.images})[0]
    labels, right = found.argmax(axis=1), reference.argmax(axis=1)
    accuracies = [float(np.mean(one == test.labels)) for one in (labels, right)]
    facts = json.loads((folder / f"{source.stem}.int8.json").read_text())
    kept = facts["quantization"].get("kept_in_float", [])
    print(  # noqa: T201 - `pytest -m stress -rP` shows it
        f"{source.stem:16} {facts['input_form']['form']:14} agreement {np.mean(labels == right):.4f} "
        f"accuracy {accuracies[1]:.4f} to {accuracies[0]:.4f} mean |dp| {np.abs(found - reference).mean():.5f} "
        f"{'integer form' if 'way' not in facts['quantization'] else f'QDQ, in float: {kept}'}"
    )
    assert np.mean(labels == right) >= 0.985
    assert accuracies[0] >= accuracies[1] - 0.003
    assert np.abs(found - reference).mean() <= 0.01
    assert any(tensor.data_type == onnx.TensorProto.INT8 for tensor in onnx.load(path).graph.initializer)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_keras_network_keeps_its_answers_in_int8(tmp_path: Path, name: str) -> None:
    made = network(name)
    made.model.save(tmp_path / f"{name}.keras")
    given = made.scaled((load_split("test").images / 255).astype(np.float32))
    answers = [np.asarray(made.model(given[at : at + 500], training=False)) for at in range(0, len(given), 500)]
    assert_int8_answers_alike(
        tmp_path / f"{name}.keras", probabilities_of(np.concatenate(answers), made.gives), tmp_path / "out"
    )


def test_a_network_of_pytorch_keeps_its_answers_in_int8(tmp_path: Path) -> None:
    onnx.save(torch_like(batch=1, flatten="reshape"), tmp_path / "torch.onnx")
    kernels, (last, bias) = torch_weights()
    images = load_split("test").images / np.float32(127.5) - 1
    logits = np.concatenate(
        [conv_features(images[at : at + 500], kernels) @ last + bias for at in range(0, len(images), 500)]
    )
    assert_int8_answers_alike(tmp_path / "torch.onnx", probabilities_of(logits, "logits"), tmp_path / "out")
