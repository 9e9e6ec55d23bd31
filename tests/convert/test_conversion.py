"""The whole conversion: what it writes, that it can be repeated, and that the shipped file is its result."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest

from fmnist_convert.convert import convert
from fmnist_convert.quantize_mlp import CALIBRATION, CHOICE, REFINEMENT
from fmnist_edge.errors import ModelError, UsageError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, decode_metadata, read_side_json
from tests.reliability.twins import lay_old_files, not_replaced
from tests.strange_keras import FOREIGN, with_foreign_layer, with_linked_weights

from .conftest import SHIPPED_KERAS, SHIPPED_VERSION

INT8 = "fmnist-mlp.int8.onnx"


def test_int8_is_as_accurate_as_promised_and_agrees_with_keras(conversion: Any) -> None:
    _keras, fp32, int8, plain = conversion.rows
    assert conversion.broken == []
    assert fp32.parity.max_difference <= 1e-5
    assert int8.accuracy >= 0.895
    assert int8.parity.agreement >= 0.998
    assert plain.parity.agreement >= 0.998


def test_the_same_original_gives_the_same_bytes_in_another_process_which_replaces_older_files_whole(
    conversion: Any, tmp_path: Path, script: str
) -> None:
    out, twins = tmp_path / "out", tmp_path / "twins"
    lay_old_files(out, twins, conversion.files)
    subprocess.run(
        [script, "convert", SHIPPED_KERAS, "--model-version", SHIPPED_VERSION, "-o", out, "--overwrite"],
        check=True,
        capture_output=True,
    )
    assert not_replaced(out, twins) == []
    for name, content in conversion.files.items():
        assert hashlib.sha256((out / name).read_bytes()).digest() == hashlib.sha256(content).digest(), name


def test_the_shipped_file_is_the_conversion_of_the_committed_original(conversion: Any) -> None:
    """To the byte, where the tools have the versions that the file names; its integers are found by another test."""
    shipped = EMBEDDED_CLASSIFIER.read_bytes()
    tools = [decode_metadata(metadata(content))["tools"] for content in (shipped, conversion.files[INT8])]
    if tools[0] == tools[1]:
        assert conversion.files[INT8] == shipped
    else:
        assert without_metadata(conversion.files[INT8]) == without_metadata(shipped)


def metadata(content: bytes) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}


def without_metadata(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    del model.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def test_metadata_and_side_json_tell_the_same(conversion: Any) -> None:
    model = onnx.load_from_string(conversion.files[INT8])
    inside = decode_metadata({entry.key: entry.value for entry in model.metadata_props})
    beside = json.loads(conversion.files["fmnist-mlp.int8.json"])
    assert {key: str(beside[key]) for key in ("file", "bytes", "sha256")} == {
        "file": INT8,
        "bytes": str(len(conversion.files[INT8])),
        "sha256": hashlib.sha256(conversion.files[INT8]).hexdigest(),
    }
    assert inside == {key: value for key, value in beside.items() if key not in ("file", "bytes", "sha256")}


def test_the_facts_name_origin_data_calibration_and_figures(conversion: Any) -> None:
    facts = json.loads(conversion.files["fmnist-mlp.int8.json"])
    assert facts["original"]["sha256"] == hashlib.sha256(SHIPPED_KERAS.read_bytes()).hexdigest()
    assert facts["original"]["recipe"] == "default"
    assert len(facts["dataset"]["sha256"]) == 4
    indices = {"calibration_indices": CALIBRATION, "refinement_indices": REFINEMENT, "choice_indices": CHOICE}
    for key, used in indices.items():
        slices = [slice(*map(int, part.split(":"))) for part in facts["quantization"][key].split(", ")]
        assert [i for part in slices for i in range(60_000)[part]] == used.tolist()
    assert facts["test"]["optimized"]["accuracy"] == round(conversion.rows[2].accuracy, 4)
    assert facts["operators"]["Gemm"] == 2


def test_the_shipped_side_json_describes_the_shipped_file() -> None:
    facts = read_side_json(EMBEDDED_CLASSIFIER)
    content = EMBEDDED_CLASSIFIER.read_bytes()
    assert (facts["bytes"], facts["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_card_states_the_figures(conversion: Any) -> None:
    card = conversion.files["fmnist-mlp.int8.md"].decode()
    assert f"{conversion.rows[2].accuracy:.4f}" in card
    assert hashlib.sha256(conversion.files[INT8]).hexdigest() in card


def test_what_misses_the_gate_is_not_written_unless_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantized: Any
) -> None:
    """Ask for every label of the original: only float could do it. The real command runs in this process."""
    from click.testing import CliRunner

    import fmnist_convert.convert as module
    from fmnist_edge.cli.main import cli

    monkeypatch.setattr(module, "quantize_mlp", lambda *_, **__: quantized)
    command = ["convert", str(SHIPPED_KERAS), "-o", str(tmp_path / "out"), "--min-agreement", "1"]
    refused = CliRunner().invoke(cli, command)
    assert refused.exit_code == 1
    assert "same label for" in refused.stderr
    assert list(tmp_path.rglob("*.onnx")) == []
    kept = CliRunner().invoke(cli, [*command, "--keep-fp32"])
    assert kept.exit_code == 1
    assert [path.name for path in tmp_path.rglob("*.*")] == ["fmnist-mlp.fp32.onnx"]
    allowed = CliRunner().invoke(cli, [*command, "--allow-worse"])
    assert allowed.exit_code == 0
    assert "parity gate not held" in allowed.stderr
    facts = json.loads((tmp_path / "out" / "fmnist-mlp.int8.json").read_text())
    assert facts["test"]["gate"].startswith("not held")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x00" * 1000])
def test_a_damaged_original_is_a_model_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.keras"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.keras"):
        convert(path)


def test_a_name_that_leaves_the_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="plain file name"):
        convert(SHIPPED_KERAS, name="../evil")


def test_a_lambda_layer_is_never_run(tmp_path: Path) -> None:
    import keras

    flag = tmp_path / "was-run"
    inputs = keras.Input((28, 28), dtype="uint8")
    touch = eval(f"lambda x: (__import__('pathlib').Path({str(flag)!r}).touch(), x)[1]")  # Keras stores its code
    outputs = keras.layers.Lambda(touch, output_shape=(28, 28))(inputs)
    model = keras.Model(inputs, keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(outputs)))
    model.save(tmp_path / "lambda.keras")
    flag.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="Lambda"):
        convert(tmp_path / "lambda.keras")
    assert not flag.exists()


@pytest.mark.parametrize(("module", "name"), FOREIGN)
def test_what_is_no_layer_is_refused_before_keras_sees_it(tmp_path: Path, module: str, name: str) -> None:
    with pytest.raises(ModelError, match=f"it names '{name}' of '{module}'"):
        convert(with_foreign_layer(SHIPPED_KERAS, tmp_path / "strange.keras", module, name))


def test_weights_of_another_file_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its weights stolen are in another file"):
        convert(with_linked_weights(SHIPPED_KERAS, tmp_path / "strange.keras"))


def test_an_archive_that_unpacks_to_gigabytes_is_refused_packed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("config.json", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    with pytest.raises(ModelError, match="unpacks to more than"):
        convert(path)
