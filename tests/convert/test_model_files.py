"""What is refused, before any library reads it, and the one line that says what the file is and what to do."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fmnist_convert.original import open_original
from fmnist_edge.errors import ModelError, UsageError
from tests.strange_keras import FOREIGN, with_foreign_layer, with_linked_weights, with_member

from .conftest import SHIPPED_KERAS
from .zoo import torch_like

WRONG_FILES = {
    "lfs.keras": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "Git LFS pointer.*git lfs pull",
    ),
    "empty.h5": (b"", "is empty"),
    "lite.tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(20), r"\.tflite file.*the Keras model it came from"),
    "page.keras": (b"<!DOCTYPE html><html>", "a web page.*download the file itself"),
    "old.pth": (b"\x80\x02}q\x00.", "pickle, which can run code.*export it to .onnx"),
    "text.keras": (b"hello", "neither a zip archive nor an HDF5 file"),
    "noise.onnx": (bytes(range(1, 200)), "not a model of a known kind"),
    "graph.pb": (b"\x08\x01", "one file of a SavedModel: give the folder"),
}


def refusal(path: Path) -> str:
    """Return the one line that a file is refused with."""
    with pytest.raises(ModelError) as caught:
        open_original(path)
    line = str(caught.value)
    assert line.count("\n") == 0
    assert str(path) in line
    return line


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    content, line = WRONG_FILES[name]
    (tmp_path / name).write_bytes(content)
    assert re.search(line, refusal(tmp_path / name))


def test_what_is_missing_or_no_model_folder_is_named(tmp_path: Path) -> None:
    assert "no model at" in refusal(tmp_path / "none.keras")
    assert "no saved_model.pb" in refusal(tmp_path)


def test_a_truncated_archive_and_a_truncated_h5_file_are_said_to_be_cut_off(tmp_path: Path) -> None:
    content = SHIPPED_KERAS.read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    assert "cut off or damaged" in refusal(tmp_path / "cut.keras")
    with h5py.File(tmp_path / "cut.h5", "w") as file:
        file["weights"] = np.zeros(100_000)
    (tmp_path / "cut.h5").write_bytes((tmp_path / "cut.h5").read_bytes()[:50_000])
    assert "cut off or damaged" in refusal(tmp_path / "cut.h5")


def test_other_archives_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"")
    assert "torch.onnx.export" in refusal(tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "folder.zip", "w") as archive:
        archive.writestr("model/saved_model.pb", b"")
    assert "zipped SavedModel: unpack it" in refusal(tmp_path / "folder.zip")


def test_an_h5_file_of_weights_alone_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "only.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros((784, 10))
    assert "weights alone" in refusal(tmp_path / "only.weights.h5")


@pytest.mark.parametrize(("module", "name"), FOREIGN)
def test_what_is_no_layer_is_refused_before_keras_sees_it(tmp_path: Path, module: str, name: str) -> None:
    path = with_foreign_layer(SHIPPED_KERAS, tmp_path / "strange.keras", module, name)
    assert f"it names '{name}' of '{module}'" in refusal(path)


@pytest.mark.parametrize("name", ["Lambda", "TFSMLayer", "StringLookup"])
def test_layers_that_run_code_or_read_files_are_refused(tmp_path: Path, name: str) -> None:
    path = with_foreign_layer(SHIPPED_KERAS, tmp_path / "strange.keras", "keras.layers", name)
    assert "runs code or reads files" in refusal(path)


def changed(tmp_path: Path, change: Any) -> Path:
    """Return a copy of the shipped original with another description."""
    with zipfile.ZipFile(SHIPPED_KERAS) as archive:
        config = json.loads(archive.read("config.json"))
    change(config["config"]["layers"], config)
    return with_member(SHIPPED_KERAS, tmp_path / "changed.keras", "config.json", json.dumps(config).encode())


def test_an_object_in_place_of_a_value_is_refused(tmp_path: Path) -> None:
    def change(layers: Any, _: Any) -> None:
        layers[1]["config"]["scale"] = {"class_name": "system", "module": "os", "config": {}}

    assert "it names 'system' of 'os' where a value should be" in refusal(changed(tmp_path, change))


def test_an_activation_of_ones_own_is_named_with_its_layer(tmp_path: Path) -> None:
    def change(layers: Any, _: Any) -> None:
        layers[3]["config"]["activation"] = {"class_name": "function", "config": "my_relu", "module": "builtins"}

    line = refusal(changed(tmp_path, change))
    assert "its layer Dense has the activation 'my_relu'" in line
    assert "model.export('folder')" in line


def test_a_key_that_means_something_here_unknown_is_not_dropped(tmp_path: Path) -> None:
    def change(layers: Any, _: Any) -> None:
        layers[3]["config"]["sparsity"] = 0.5

    assert "'hidden' (Dense) has sparsity=0.5, which the installed Keras" in refusal(changed(tmp_path, change))


def test_a_network_of_its_own_class_is_told_how_to_be_exported(tmp_path: Path) -> None:
    def change(_: Any, config: Any) -> None:
        config.update(class_name="MyModel", module="__main__", registered_name="MyModel")

    assert "of the class 'MyModel', which is code of its own" in refusal(changed(tmp_path, change))


def test_layers_that_need_more_weights_than_the_file_has_are_refused_before_they_are_made(tmp_path: Path) -> None:
    def change(layers: Any, _: Any) -> None:
        layers[3]["config"]["units"] = 10**9

    assert "need 795,000,000,010 weights, and it holds 101,770" in refusal(changed(tmp_path, change))


def test_layers_that_make_too_many_values_are_refused_before_they_run(tmp_path: Path) -> None:
    import keras

    layers = [keras.layers.ZeroPadding2D(5000), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(10)]
    keras.Sequential([keras.Input((28, 28, 1)), *layers]).save(tmp_path / "large.keras")
    assert "makes 100,560,784 values of one image" in refusal(tmp_path / "large.keras")


def test_a_network_that_was_never_built_is_told_how_to_be(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    with pytest.warns(UserWarning, match="not yet been built"):
        model.save(tmp_path / "unbuilt.keras")
    assert "never been built" in refusal(tmp_path / "unbuilt.keras")


def test_two_inputs_five_classes_and_other_images_are_named(tmp_path: Path) -> None:
    import keras

    flat, dense = keras.layers.Flatten, keras.layers.Dense
    first, second = keras.Input((28, 28), name="left"), keras.Input((28, 28), name="right")
    both = keras.layers.Concatenate()([flat()(first), flat()(second)])
    keras.Model([first, second], dense(10)(both)).save(tmp_path / "two.keras")
    assert "takes 2 inputs (left [batch, 28, 28], right [batch, 28, 28])" in refusal(tmp_path / "two.keras")
    keras.Sequential([keras.Input((28, 28)), flat(), dense(5)]).save(tmp_path / "five.keras")
    assert "gives [batch, 5], not ten classes" in refusal(tmp_path / "five.keras")
    keras.Sequential([keras.Input((40, 40)), flat(), dense(10)]).save(tmp_path / "wide.keras")
    assert "takes [batch, 40, 40], which is not an image of 28x28 pixels" in refusal(tmp_path / "wide.keras")


def test_weights_that_lie_elsewhere_are_not_read(tmp_path: Path) -> None:
    assert "weights stolen are in another file" in refusal(with_linked_weights(SHIPPED_KERAS, tmp_path / "a.keras"))
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3,))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("virtual", layout)
    assert "weights virtual are in another file" in refusal(tmp_path / "b.h5")


def test_arrays_and_archives_that_unpack_to_gigabytes_are_refused_packed(tmp_path: Path) -> None:
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.create_dataset("declared", (10**12,), "f4", chunks=(1024,))
    path = with_member(SHIPPED_KERAS, tmp_path / "bomb.keras", "model.weights.h5", weights.getvalue())
    assert "unpacks to more than" in refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("config.json", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    assert "unpacks to more than" in refusal(path)


def test_groups_that_contain_themselves_are_read_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "loop.h5", "w") as file:
        group = file.create_group("a")
        group["again"] = group
        group["above"] = file
    assert "weights alone" in refusal(tmp_path / "loop.h5")


def test_a_saved_model_that_reads_files_or_keeps_state_is_not_run(tmp_path: Path) -> None:
    import tensorflow as tf

    class Reader(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.float32, "x")])
        def read(self, x: Any) -> Any:
            return tf.reshape(x, (-1, 784))[:, :10] + tf.cast(
                tf.strings.length(tf.io.read_file("/etc/passwd")), "float32"
            )

    class Counter(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.calls = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.float32, "x")])
        def count(self, x: Any) -> Any:
            return tf.reshape(x, (-1, 784))[:, :10] + self.calls.assign_add(1.0)

    reader, counter = Reader(), Counter()
    tf.saved_model.save(reader, str(tmp_path / "reader"), signatures={"serving_default": reader.read})
    assert "its operation ReadFile reaches files or code" in refusal(tmp_path / "reader")
    tf.saved_model.save(counter, str(tmp_path / "counter"), signatures={"serving_default": counter.count})
    assert "its operation AssignAddVariableOp is not one of a plain network" in refusal(tmp_path / "counter")


def graph_of(node: onnx.NodeProto) -> onnx.ModelProto:
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 1, 28, 28])
    made = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 10])
    return helper.make_model(helper.make_graph([node], "g", [given], [made]))


def test_onnx_files_that_reach_elsewhere_or_loop_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(graph_of(helper.make_node("Evil", ["input"], ["output"], domain="com.example")), path)
    assert "operator Evil of com.example is not one of ONNX's own" in refusal(path)
    body = helper.make_graph([], "body", [], [])
    onnx.save(graph_of(helper.make_node("Loop", ["", "", "input"], ["output"], body=body)), path)
    assert "is a loop or a branch" in refusal(path)
    model = torch_like()
    for location in ("../secret", "/etc/passwd", "sub/weights"):
        tensor = model.graph.initializer[0]
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=location)
        path.write_bytes(model.SerializeToString())
        assert "weights are in another folder" in refusal(path)


def test_onnx_files_of_another_contract_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = torch_like()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n"]))
    onnx.save(model, path)
    assert "takes 2 inputs (input, mask)" in refusal(path)
    model = torch_like()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, path)
    assert "images of the type float16" in refusal(path)


def test_an_input_form_that_does_not_exist_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no input form '0\.\.2': choose one of 0\.\.1, 0\.\.255"):
        open_original(SHIPPED_KERAS, input_form="0..2")
