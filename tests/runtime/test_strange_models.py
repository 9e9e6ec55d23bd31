"""Model files from strangers: what keeps no contract is a ModelError, in bounded time and memory, and is never run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmnist_edge import Classifier, ModelError, onnx_reader, session
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL
from fmnist_edge.onnx_reader import first_layer

onnx = pytest.importorskip("onnx", reason="needs the extra [convert]")

from tests.runtime.networks import (  # noqa: E402 (needs onnx)
    always_two,
    constant,
    model_of,
    nodes_with,
    outside,
    photo_model,
    shaped,
    subgraph,
)

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLE = str(next((Path(__file__).parents[2] / "samples").glob("*.png")))


def saved(folder: Path, model: Any) -> Path:
    path = folder / "stranger.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        Classifier(path)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_a_strangers_model_that_keeps_the_contract_is_used(tmp_path: Path) -> None:
    answers = Classifier(saved(tmp_path, model_of(nodes_with()))).predict(np.zeros((300, 28, 28), np.uint8))
    assert np.allclose(answers, 0.1)


def test_the_shipped_models_would_be_let_in_if_strangers_brought_them(tmp_path: Path) -> None:
    for embedded in (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL):
        Classifier(saved(tmp_path, embedded.read_bytes()))


# What is something else

OTHERS = {
    "model.keras": (b"PK\x03\x04...", "fmnist-edge convert"),
    "model.h5": (b"\x89HDF\r\n\x1a\n...", "fmnist-edge convert"),
    "model.tflite": (b"\x1c\0\0\0TFL3...", "TensorFlow Lite"),
    "model.pt": (b"PK\x03\x04" + b"\0" * 26 + b"model/data.pkl", "torch.onnx.export"),
    "model.json": (b'{"module": "keras", "class_name": "Sequential"}', "model.save"),
    "shirt.png": (b"\x89PNG\r\n\x1a\n...", "classify"),
    "notes.txt": (b"buy milk", "not an ONNX model"),
    "pointer.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:...", "git lfs pull"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_model_of_another_kind_is_named_for_what_it_is(tmp_path: Path, name: str) -> None:
    content, advice = OTHERS[name]
    (tmp_path / name).write_bytes(content)
    assert advice in refusal(tmp_path / name)
    with pytest.raises(ModelError, match=advice):
        first_layer(tmp_path / name)


def test_an_address_and_a_folder_are_told_apart_from_a_missing_file(tmp_path: Path) -> None:
    assert "download it first" in refusal(Path("https://example.com/model.onnx"))
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "mine.int8.onnx").touch()
    assert f"such as {tmp_path / 'mine.int8.onnx'}" in refusal(tmp_path)
    assert "no model at" in refusal(tmp_path / "none.onnx")


# What is refused before onnxruntime sees it


@pytest.mark.parametrize("location", ["/etc/passwd", "../../../../../../../etc/passwd", "weights.bin"])
def test_data_outside_the_file_is_refused_unread(tmp_path: Path, location: str) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(40))
    assert "outside the file" in refusal(saved(tmp_path, outside(location)))


def test_external_data_of_an_attribute_is_refused_too(tmp_path: Path) -> None:
    tensor = outside("/etc/passwd").graph.initializer[-1]
    given = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
    assert "outside the file" in refusal(saved(tmp_path, model_of(nodes_with(given))))


def test_a_loop_that_never_ends_is_refused(tmp_path: Path) -> None:
    loop = onnx.helper.make_node("Loop", ["", "true", "e"], ["l"], body=subgraph())
    model = model_of(nodes_with(loop, last="l"), constant("true", np.array(True)))
    assert "Loop is a loop or a branch" in refusal(saved(tmp_path, model))


def test_a_loop_in_the_second_half_of_a_graph_that_comes_twice_is_refused(tmp_path: Path) -> None:
    """As protobuf has it, both halves are one graph."""
    loop = onnx.helper.make_node("Loop", ["", "true", "e"], ["l"], body=subgraph())
    first, second = model_of(nodes_with()), onnx.ModelProto()
    second.graph.node.append(loop)
    both = first.SerializeToString() + second.SerializeToString()
    assert len(onnx.load_from_string(both).graph.node) == len(first.graph.node) + 1
    assert "is a loop or a branch" in refusal(saved(tmp_path, both))


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "evil"])
def test_operators_of_other_domains_are_refused(tmp_path: Path, domain: str) -> None:
    node = onnx.helper.make_node("FusedGemm", ["e", "e"], ["x"], domain=domain)
    opsets = [onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid(domain, 1)]
    assert f"of {domain} is not one" in refusal(saved(tmp_path, model_of(nodes_with(node), opset_imports=opsets)))


def test_functions_and_sparse_tensors_are_refused(tmp_path: Path) -> None:
    with_function, sparse = model_of(nodes_with()), model_of(nodes_with())
    with_function.functions.add().name = "own"
    sparse.graph.sparse_initializer.add().dims.extend([2**20, 2**20])
    assert "functions of its own" in refusal(saved(tmp_path, with_function))
    assert "sparse" in refusal(saved(tmp_path, sparse))


def test_a_tensor_that_claims_more_than_it_brings_is_refused(tmp_path: Path) -> None:
    huge = onnx.TensorProto(name="huge", data_type=1, dims=[2**20, 2**20], raw_data=b"1234")
    assert "larger than its data" in refusal(saved(tmp_path, model_of(nodes_with(), huge)))


def test_more_nodes_than_any_network_here_needs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_reader, "MAX_NODES", 6)
    assert "more than 6 nodes" in refusal(saved(tmp_path, model_of(nodes_with())))


def test_a_file_larger_than_any_such_model_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.onnx"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert "larger than 64 MiB" in refusal(path)


NO_MODELS = {
    "cut": b"\x7f",
    "varint": b"\xff" * 20,
    "length": b"\x3a\xff\xff\xff\xff\x0f",
    "group": b"\x3b\x3c",
    "number for a graph": b"\x38\x01",
    "number for a node": b"\x3a\x02\x08\x01",
    "the other format": b"ORTMORTM" * 9,
}


@pytest.mark.parametrize("content", NO_MODELS.values(), ids=NO_MODELS)
def test_bytes_that_are_no_model_are_refused(tmp_path: Path, content: bytes) -> None:
    assert "stranger.onnx" in refusal(saved(tmp_path, content))


def test_a_file_that_onnxruntime_would_take_for_its_own_format_is_read_as_it_was_validated(tmp_path: Path) -> None:
    """Its bytes 4 to 8 tell onnxruntime the format, unless it is told."""
    maker = _field(2, b"xxORTMxx")  # ModelProto.producer_name
    assert maker[4:8] == b"ORTM"
    model = model_of(nodes_with())
    model.ClearField("producer_name")
    path = saved(tmp_path, maker + model.SerializeToString())
    assert Classifier(path).predict(np.zeros((1, 28, 28), np.uint8)).shape == (1, 10)


# What is refused when it is tried


def test_a_network_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node
    grown = [
        node("ConstantOfShape", ["billions"], ["big"]),
        node("ReduceSum", ["big"], ["sum"], keepdims=0),
        node("Add", ["e", "sum"], ["x"]),
    ]
    model = model_of(nodes_with(*grown, last="x"), constant("billions", [5_000_000_000]))
    assert "cannot be run" in refusal(saved(tmp_path, model))


def slow(size: int) -> Any:
    """Matrices multiplied again and again: hours of work in a small file, without any loop."""
    node = onnx.helper.make_node
    first = node("ConstantOfShape", ["shape"], ["x0"])
    many = [node("MatMul", [f"x{step}", "x0"], [f"x{step + 1}"]) for step in range(2000)]
    last = [node("ReduceSum", ["x2000"], ["sum"], keepdims=0), node("Add", ["e", "sum"], ["y"])]
    return model_of(nodes_with(first, *many, *last, last="y"), constant("shape", [size, size]))


def test_a_network_that_takes_hours_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SECONDS", 0.3)
    assert "gives no answer within 0.3 s" in refusal(saved(tmp_path, slow(1500)))


def one_slow_node() -> Any:
    """One node that takes hours: onnxruntime cannot interrupt it."""
    node = onnx.helper.make_node
    nodes = [
        node("ConstantOfShape", ["picture"], ["p"]),
        node("ConstantOfShape", ["kernel"], ["k"]),
        node("Conv", ["p", "k"], ["c"]),
        node("ReduceSum", ["c"], ["sum"], keepdims=0),
        node("Add", ["e", "sum"], ["y"]),
    ]
    shapes = constant("picture", [1, 1, 4000, 4000]), constant("kernel", [1, 1, 2000, 2000])
    return model_of(nodes_with(*nodes, last="y"), *shapes)


def test_the_limit_holds_for_the_command_line_and_ends_it(tmp_path: Path) -> None:
    path = saved(tmp_path, one_slow_node())
    run = subprocess.run([SCRIPT, "classify", "--model", str(path), SAMPLE], capture_output=True, timeout=120)
    assert (run.returncode, run.stdout, run.stderr.count(b"\n")) == (3, b"", 1)


PROGRAM = """
import sys
from fmnist_edge import Classifier, ModelError
from fmnist_edge import session
session.SECONDS = 0.3
try:
    Classifier(sys.argv[1])
except ModelError:
    print("refused")
"""


def test_a_program_that_was_spared_such_a_network_can_end(tmp_path: Path) -> None:
    path = saved(tmp_path, one_slow_node())
    run = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"refused\n", b"")


@pytest.mark.parametrize(
    ("operator", "message"), [("Neg", "not probabilities"), ("Log", "not probabilities"), ("Sqrt", "not probabilities")]
)
def test_answers_that_are_no_probabilities_are_refused(tmp_path: Path, operator: str, message: str) -> None:
    node = onnx.helper.make_node(operator, ["e"], ["x"])
    assert message in refusal(saved(tmp_path, model_of(nodes_with(node, last="x"))))


def test_another_number_of_answers_than_of_images_is_refused(tmp_path: Path) -> None:
    assert "it answers with (1, 20)" in refusal(saved(tmp_path, shaped(1, 20)))


def test_a_photo_model_of_ones_own_is_used(tmp_path: Path) -> None:
    photo = np.zeros((200, 100, 3), np.uint8)
    photo[:100] = 255
    prediction = Classifier(saved(tmp_path, photo_model())).classify(photo)
    assert (prediction.label, prediction.unsure_below, prediction.model) == ("unsure", 0.5, "stranger.onnx")
    assert prediction.saw is not None
    assert np.array_equal(prediction.saw, photo[..., 0] / np.float32(255))


def test_a_photo_model_that_does_not_say_what_it_saw_is_refused(tmp_path: Path) -> None:
    assert "its map of what it saw is (0, 0)" in refusal(saved(tmp_path, photo_model(seen="empty")))
    assert "without [('saw'" in refusal(saved(tmp_path, photo_model(outputs=("probabilities",))))


def test_a_network_that_answers_two_images_but_not_more_is_an_error_when_it_is_run(tmp_path: Path) -> None:
    classifier = Classifier(saved(tmp_path, shaped(2, 10)))
    for count in (1, 3):
        with pytest.raises(ModelError, match="cannot be run"):
            classifier.predict(np.zeros((count, 28, 28), np.uint8))


def test_a_network_that_gives_two_answers_to_three_images_is_an_error_when_it_is_run(tmp_path: Path) -> None:
    classifier = Classifier(saved(tmp_path, always_two()))
    assert classifier.predict(np.zeros((2, 28, 28), np.uint8)).shape == (2, 10)
    for count in (1, 3):
        with pytest.raises(ModelError, match="cannot be run"):
            classifier.predict(np.zeros((count, 28, 28), np.uint8))


def test_a_shipped_model_that_was_damaged_is_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried out before."""
    path = saved(tmp_path, EMBEDDED_CLASSIFIER.read_bytes()[:-100])
    monkeypatch.setattr(session, "EMBEDDED_CLASSIFIER", path)
    assert "onnxruntime can load" in refusal(path)


# Metadata


def with_metadata(folder: Path, embedded: Path, key: str, value: str | bytes) -> Path:
    """Copy a shipped model with a fact put in place of its own."""
    model = onnx.load(embedded)
    kept = [entry for entry in model.metadata_props if entry.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    raw = value if isinstance(value, bytes) else value.encode()
    text = _field(1, key.encode()) + _field(2, raw)
    return saved(folder, model.SerializeToString() + _field(14, text))


def _field(number: int, content: bytes) -> bytes:
    """Return a field of a protobuf message, which may hold bytes that are no UTF-8."""
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


@pytest.mark.parametrize("value", ["[]", '"high"', "7", "NaN", "true", "[" * 100_000])
def test_a_threshold_that_is_none_is_a_model_error(tmp_path: Path, value: str) -> None:
    path = with_metadata(tmp_path, EMBEDDED_PHOTO_MODEL, "unsure_below", value)
    if value == "true":  # JSON's true is a number to Python, and a harmless one
        assert Classifier(path).classify(np.zeros((50, 50, 3), np.uint8)).unsure_below == 1
        return
    with pytest.raises(ModelError, match="unsure_below"):
        Classifier(path)


def test_metadata_that_are_no_text_are_a_model_error(tmp_path: Path) -> None:
    assert "stranger.onnx" in refusal(with_metadata(tmp_path, EMBEDDED_CLASSIFIER, "labels", b"\xff\xfe"))


def test_what_a_models_name_does_to_a_terminal_is_escaped(tmp_path: Path) -> None:
    path = with_metadata(tmp_path, EMBEDDED_CLASSIFIER, "name", "\x1b[2Jclean\ndone\u202e")
    run = subprocess.run([SCRIPT, "info", str(path)], capture_output=True, timeout=60)
    assert rb"\x1b[2Jclean\ndone\u202e" in run.stdout
    assert b"\x1b" not in run.stdout
    facts = json.loads(subprocess.run([SCRIPT, "info", "--format", "json", str(path)], capture_output=True).stdout)
    assert facts["name"] == "\x1b[2Jclean\ndone\u202e"


# The weights, which are read without onnxruntime


def spoiled(change: Callable[[Any], None]) -> Any:
    model = onnx.load(EMBEDDED_CLASSIFIER)
    change(model)
    return model


def _no_scale(model: Any) -> None:
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            del node.input[1:]


def _other_scale(model: Any) -> None:
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            node.input[1] = "none"


def _no_data(model: Any) -> None:
    for tensor in model.graph.initializer:
        tensor.raw_data = tensor.raw_data[:5]


@pytest.mark.parametrize("change", [_no_scale, _other_scale, _no_data])
def test_weights_that_make_no_sense_are_a_model_error(tmp_path: Path, change: Callable[[Any], None]) -> None:
    with pytest.raises(ModelError):
        first_layer(saved(tmp_path, spoiled(change)))
