"""Networks as people save them: each is loaded, its input form found, and exported so that it answers as it did."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import onnxruntime
import pytest

from fmnist_convert.export import export_fp32
from fmnist_convert.input_form import FormScore, InputForm, InputFormReport, with_measured_form
from fmnist_convert.original import open_original
from fmnist_edge.dataset import load_split
from fmnist_edge.errors import ModelError

from .zoo import BUILDERS, Made, conv_features, network, probabilities_of, torch_like, torch_weights

IMAGES = 300


def exported(path: Path, input_form: str | None = None) -> tuple[Any, onnx.ModelProto]:
    """Load, measure and export; return the report and the graph."""
    original, report = with_measured_form(open_original(path, input_form=input_form), load_split("train"))
    return report, export_fp32(original)


def answers(graph: onnx.ModelProto, count: int = IMAGES) -> Any:
    """Return what plain onnxruntime makes of test images."""
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    return session.run(["probabilities"], {"image": load_split("test").images[:count]})[0]


def expected(made: Made, count: int = IMAGES) -> Any:
    """Return what Keras makes of the same images as the network's owner scales them."""
    images = (load_split("test").images[:count] / 255).astype(np.float32)
    return probabilities_of(made.model(made.scaled(images), training=False), made.gives)


def assert_same(graph: onnx.ModelProto, made: Made, tolerance: float = 1e-4) -> None:
    found, right = answers(graph), expected(made)
    assert np.abs(found - right).max() <= tolerance
    assert (right.argmax(axis=1) == load_split("test").labels[:IMAGES]).mean() > 0.6


@pytest.mark.parametrize("name", BUILDERS)
def test_a_compiled_keras_file_answers_as_its_network_does(tmp_path: Path, name: str) -> None:
    made = network(name)
    made.model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    made.model.save(tmp_path / "model.keras")
    report, graph = exported(tmp_path / "model.keras")
    assert report.best.form.name == made.form
    assert_same(graph, made, 2e-3 if name == "half-precision" else 1e-4)  # float32 is what convert makes of float16
    assert graph.opset_import[0].version == 13
    assert [node.op_type for node in graph.graph.node].count("Softmax") <= 1


@pytest.mark.parametrize(
    "name", ["dense", "deep-batch-norm", "cnn", "augmented", "residual", "normalization", "nested"]
)
def test_an_h5_file_answers_as_its_network_does(tmp_path: Path, name: str) -> None:
    made = network(name)
    made.model.save(tmp_path / "model.h5")
    report, graph = exported(tmp_path / "model.h5")
    assert report.best.form.name == made.form
    assert_same(graph, made)


def test_a_saved_model_folder_answers_as_its_network_does(tmp_path: Path) -> None:
    made = network("cnn")
    made.model.export(tmp_path / "folder", verbose=False)
    _, graph = exported(tmp_path / "folder")
    assert_same(graph, made)


def test_a_network_for_fixed_batches_takes_any_number_of_images(tmp_path: Path) -> None:
    import keras

    made = network("dense")
    model = keras.Sequential([keras.Input(batch_shape=(32, 28, 28)), *keras.models.clone_model(made.model).layers])
    model.set_weights(made.model.get_weights())
    model.save(tmp_path / "model.keras")
    _, graph = exported(tmp_path / "model.keras")
    assert_same(graph, made)


def keras_2_config(model: Any) -> dict[str, Any]:
    """Return a Sequential model's description as Keras 2 wrote it."""
    layers = []
    for layer in model.layers:
        config = {**layer.get_config(), "dtype": "float32"}
        for key, value in config.items():
            if isinstance(value, dict) and "class_name" in value:
                config[key] = {"class_name": value["class_name"], "config": {**value["config"], "dtype": "float32"}}
        for key in ("quantization_config", "autocast"):
            config.pop(key, None)
        if isinstance(config.get("axis"), int):
            config["axis"] = [config["axis"]]
        if type(layer).__name__ == "Conv2D":
            config["groups"] = 1
        layers.append({"class_name": type(layer).__name__, "config": config})
    layers[0]["config"]["batch_input_shape"] = [None, *model.input_shape[1:]]
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}


def as_keras_2(path: Path, config: dict[str, Any]) -> None:
    """Rewrite an .h5 file's description and version."""
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.4.0"


@pytest.mark.parametrize("name", ["dense-784", "cnn", "deep-batch-norm"])
def test_an_h5_file_of_keras_2_is_read_without_its_obsolete_keys(tmp_path: Path, name: str) -> None:
    made = network(name)
    made.model.save(tmp_path / "model.h5")
    as_keras_2(tmp_path / "model.h5", keras_2_config(made.model))
    _, graph = exported(tmp_path / "model.h5")
    assert_same(graph, made)


def keras_2_functional(model: Any) -> dict[str, Any]:
    """Return a Functional model's description as Keras 2 wrote it: a model inside counts its own making as a node."""
    config = json.loads(json.dumps(model.get_config()))
    inner = {layer.name: layer for layer in model.layers if layer.__class__.__name__ in ("Functional", "Sequential")}
    for layer in config["layers"]:
        calls = [[one["config"]["keras_history"] for one in node["args"]] for node in layer["inbound_nodes"]]
        layer["inbound_nodes"] = [[[name, int(name in inner), at, {}] for name, _, at in call] for call in calls]
        if layer["name"] in inner:
            made = inner[layer["name"]]
            whole = keras_2_config if type(made).__name__ == "Sequential" else keras_2_functional
            layer |= whole(made)
        elif layer["class_name"] == "InputLayer":
            layer["config"]["batch_input_shape"] = layer["config"].pop("batch_shape")
    ends = {key: [[name, int(name in inner), at] for name, _, at in [config[key]]] for key in ENDS}
    return {"class_name": "Functional", "config": config | ends}


ENDS = ("input_layers", "output_layers")


@pytest.mark.parametrize("head", ["layer", "sequential"])
def test_a_model_inside_a_functional_model_of_keras_2_is_found(tmp_path: Path, head: str) -> None:
    import keras

    layers, cnn = keras.layers, network("cnn").model
    inside = keras.Input((28, 28, 1))
    backbone = keras.Model(inside, layers.MaxPooling2D()(layers.Conv2D(16, 3, activation="relu")(inside)), name="base")
    given = keras.Input((28, 28, 1))
    tail = [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    tail.append(layers.Dense(10, "softmax"))
    if head == "sequential":
        tail = [keras.Sequential([keras.Input((13, 13, 16)), *tail], name="head")]
    value = backbone(given)
    for layer in tail:
        value = layer(value)
    model = keras.Model(given, value)
    model.set_weights(cnn.get_weights())
    model.save(tmp_path / "model.h5")
    as_keras_2(tmp_path / "model.h5", keras_2_functional(model))
    _, graph = exported(tmp_path / "model.h5")
    assert_same(graph, network("cnn"))


@pytest.mark.parametrize("shape", [[None, [28, 28]], [[None, 28, 28]], [[[None, 28, 28]]]])
def test_an_input_shape_that_is_nested_once_too_often_is_read(tmp_path: Path, shape: Any) -> None:
    made = network("dense")
    made.model.save(tmp_path / "model.h5")
    config = keras_2_config(made.model)
    config["config"]["layers"][0]["config"]["batch_input_shape"] = shape
    as_keras_2(tmp_path / "model.h5", config)
    _, graph = exported(tmp_path / "model.h5")
    assert_same(graph, made)


def rewritten(path: Path, change: Any, weights: Any = None) -> None:
    """Rewrite the description, and the weights, of a .keras file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    if weights is not None:
        members["model.weights.h5"] = weights(members["model.weights.h5"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_classes_and_modules_that_are_gone_are_found_under_their_present_names(tmp_path: Path) -> None:
    made = network("augmented")
    made.model.save(tmp_path / "model.keras")

    def change(config: Any) -> None:
        config["module"], config["registered_name"] = "keras.src.engine.sequential", "Sequential"
        for layer in config["config"]["layers"]:
            layer["module"] = "keras.src.layers.gone"
            layer["config"] |= {"experimental_autocast": True, "ragged": False} if "name" in layer["config"] else {}
        config["config"]["layers"][1]["config"]["layers"][1] |= {"class_name": "RandomHeight"}

    rewritten(tmp_path / "model.keras", change)
    _, graph = exported(tmp_path / "model.keras")
    assert_same(graph, made)


def test_weights_are_found_under_the_names_of_keras_2_13(tmp_path: Path) -> None:
    """There, layers lie elsewhere, and those with weights are counted twice."""
    made = network("deep-batch-norm")
    made.model.save(tmp_path / "model.keras")

    def renamed(content: bytes) -> bytes:
        new = io.BytesIO()
        with h5py.File(io.BytesIO(content)) as old, h5py.File(new, "w") as file:
            for name, group in old["layers"].items():
                kind, _, number = name.partition("dense_")
                name = f"dense_{2 * int(number)}" if number and not kind else name
                for key, array in group.get("vars", {}).items():
                    file[f"_layer_checkpoint_dependencies/{name}/vars/{key}"] = array[()]
        return new.getvalue()

    rewritten(tmp_path / "model.keras", lambda config: None, renamed)
    _, graph = exported(tmp_path / "model.keras")
    assert_same(graph, made)


def test_the_activation_of_tensorflow_is_found_under_its_name_in_keras(tmp_path: Path) -> None:
    made = network("dense-784")
    made.model.save(tmp_path / "model.h5")
    config = keras_2_config(made.model)
    config["config"]["layers"][-1]["config"]["activation"] = "softmax_v2"
    as_keras_2(tmp_path / "model.h5", config)
    _, graph = exported(tmp_path / "model.h5")
    assert_same(graph, made)


TORCH = {
    "free batch": {},
    "batch of 1": {"batch": 1, "flatten": "reshape"},
    "batch of 128": {"batch": 128, "flatten": "reshape", "opset": 11},
    "computed shape": {"flatten": "computed", "opset": 12},
    "old opset": {"opset": 9, "batch": 1},
    "new opset": {"opset": 21},
    "log probabilities": {"log": True, "opset": 13},
    "two outputs": {"second": True, "batch": 1},
}


@pytest.mark.parametrize("options", TORCH.values(), ids=TORCH)
def test_an_onnx_file_of_pytorch_answers_as_its_network_does(tmp_path: Path, options: dict[str, Any]) -> None:
    onnx.save(torch_like(**options), tmp_path / "model.onnx")
    report, graph = exported(tmp_path / "model.onnx")
    assert report.best.form.name == "-1..1"
    kernels, (last, bias) = torch_weights()
    images = load_split("test").images[:IMAGES] / np.float32(127.5) - 1
    right = probabilities_of(conv_features(images, kernels) @ last + bias, "logits")
    assert np.abs(answers(graph) - right).max() <= 1e-4
    assert graph.opset_import[0].version == 13


def test_an_onnx_file_with_weights_beside_it_or_among_its_inputs_is_read(tmp_path: Path) -> None:
    right = answers(exported_of(torch_like(), tmp_path / "plain.onnx"))
    onnx.save(torch_like(), tmp_path / "a.onnx", save_as_external_data=True, location="a.data", size_threshold=0)
    assert (answers(exported(tmp_path / "a.onnx")[1]) == right).all()
    old = torch_like(opset=9)
    old.ir_version = 3
    for tensor in old.graph.initializer:
        old.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    assert np.abs(answers(exported_of(old, tmp_path / "old.onnx")) - right).max() <= 1e-6


def exported_of(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    onnx.save(model, path)
    return exported(path)[1]


def test_a_network_that_augments_agrees_with_itself(tmp_path: Path) -> None:
    network("augmented").model.save(tmp_path / "model.keras")
    original, _ = with_measured_form(open_original(tmp_path / "model.keras"), load_split("train"))
    images = load_split("test").images[:500]
    assert (original.predict(images) == original.predict(images)).all()


def test_a_given_form_is_kept_and_said_to_be_poor(tmp_path: Path) -> None:
    made = network("inverted")
    made.model.save(tmp_path / "model.keras")
    report, _ = exported(tmp_path / "model.keras", "0..1")
    assert (report.best.form.name, report.found) == ("0..1", "given")
    assert report.warning is not None
    assert "--input-form 0..1" in report.warning


def test_forms_that_are_as_good_are_told_apart_by_log_loss_with_a_warning(tmp_path: Path) -> None:
    """Without biases, a ReLU network gives the same label for any scale."""
    import keras

    model = keras.models.clone_model(network("temperature").model)
    model.set_weights(network("temperature").model.get_weights())
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][-1]
    dense.set_weights([dense.get_weights()[0], np.zeros(10, np.float32)])
    model.save(tmp_path / "model.keras")
    report, _ = exported(tmp_path / "model.keras")
    assert report.best.form.name == "0..1"
    assert report.best.accuracy == next(s for s in report.scores if s.form.name == "0..255").accuracy
    assert report.warning is not None
    assert "--input-form 0..255" in report.warning


@pytest.mark.parametrize(
    ("chosen", "other", "reason"),
    [
        (
            ("0..255", 0.9, 1.95),
            ("-0.5..0.5", 0.9, 1.72),
            "0..255 is the form that tutorials use (log loss 1.95",
        ),
        (("0..1", 0.9, 0.3), ("0..255", 0.91, 2.5), "log loss 0.3 against 2.5"),
        (("0..1", 0.9, 0.5), ("-1..1", 0.896, 0.4), "accuracy (log loss 0.5 against 0.4)"),
    ],
)
def test_the_warning_of_a_close_call_names_what_decided(chosen: Any, other: Any, reason: str) -> None:
    scores = [FormScore(InputForm(name, (28, 28)), accuracy, loss) for name, accuracy, loss in (chosen, other)]
    warning = InputFormReport(scores, 2000, "measured").warning
    assert warning is not None
    assert f"What decided: {reason}" in warning
    assert f"--input-form {other[0]}" in warning


def test_a_branching_network_gives_the_same_bytes_in_other_processes(tmp_path: Path) -> None:
    """Of attention, tf2onnx writes the nodes in an order that depends on hashes."""
    import keras

    given = keras.Input((28, 28))
    values = keras.layers.Dense(16)(given)
    pooled = keras.layers.GlobalAveragePooling1D()(keras.layers.MultiHeadAttention(2, 8)(values, values))
    keras.Model(given, keras.layers.Dense(10, "softmax")(pooled)).save(tmp_path / "model.keras")
    program = (
        "import hashlib, pathlib; from tests.convert.test_originals import exported; "
        f"graph = exported(pathlib.Path({str(tmp_path / 'model.keras')!r}), '0..1')[1]; "
        "print(hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest())"
    )
    root = Path(__file__).parents[2]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_a_network_of_other_images_is_refused(tmp_path: Path) -> None:
    import keras

    made = network("dense")
    model = keras.models.clone_model(made.model)
    weights = made.model.get_weights()
    weights[-2], weights[-1] = np.roll(weights[-2], 1, axis=1), np.roll(weights[-1], 1)
    model.set_weights(weights)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"not trained on these images.*--input-form"):
        exported(tmp_path / "model.keras")
