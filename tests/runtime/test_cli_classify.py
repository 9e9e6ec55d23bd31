"""`fmnist-edge classify` as people and programs meet it: the installed command in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from fmnist_edge import LABELS, Classifier
from fmnist_edge.model_info import UNSURE
from tests.runtime.pictures import encoded, garment

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.png"))
posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


def classify(*arguments: str | Path, data: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [SCRIPT, "classify", *map(os.fsencode, map(str, arguments))]
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return subprocess.run(command, input=data, capture_output=True, env=inherited | environment, timeout=60)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a good picture, one that is none, and an empty file."""
    (tmp_path / "good.png").write_bytes(encoded(garment()))
    (tmp_path / "none.jpg").write_text("hello")
    (tmp_path / "void.png").touch()
    return tmp_path


# Forms of the output


def test_text_is_a_line_for_each_image(classifier: Classifier) -> None:
    run = classify(*SAMPLES)
    best = [classifier.classify(path) for path in SAMPLES]
    lines = [f"{path}: {one.label} ({100 * one.confidence:.1f} %)" for path, one in zip(SAMPLES, best, strict=True)]
    assert run.stdout.decode().splitlines() == lines
    assert (run.returncode, run.stderr) == (0, b"")


def test_text_shows_the_best_few_when_asked() -> None:
    run = classify("--top-k", "3", SAMPLES[1])
    share = r"[A-Z][A-Za-z/ -]+ \(\d+\.\d %\)"
    assert re.fullmatch(
        rf"{re.escape(str(SAMPLES[1]))}: Trouser \(\d+\.\d %\), {share}, {share}\n", run.stdout.decode()
    )


def test_jsonl_is_an_object_a_line_with_the_fields_in_their_order(classifier: Classifier) -> None:
    best = classifier.classify(SAMPLES[1])
    second, third = (
        f'{{"label": "{LABELS[index]}", "index": {index}, "probability": {round(probability, 4)}}}'
        for index, probability in best.top(3)[1:]
    )
    line = (
        f'{{"path": {json.dumps(str(SAMPLES[1]))}, "label": "Trouser", "index": 1, '
        f'"confidence": {round(best.confidence, 4)}, "top": '
        f'[{{"label": "Trouser", "index": 1, "probability": {round(best.confidence, 4)}}}, {second}, {third}], '
        '"model": "fmnist-mlp.int8.onnx", "error": null}\n'
    )
    assert classify("--format", "jsonl", SAMPLES[1]).stdout.decode() == line


def test_json_is_the_list_of_the_same_objects(folder: Path) -> None:
    inputs = [SAMPLES[0], folder / "void.png", SAMPLES[2]]
    lines = classify("--format", "jsonl", *inputs).stdout.splitlines()
    assert json.loads(classify("--format", "json", *inputs).stdout) == [json.loads(line) for line in lines]


def test_csv_has_a_header_and_the_same_values(folder: Path) -> None:
    inputs = [SAMPLES[0], folder / "void.png"]
    rows = list(csv.DictReader(io.StringIO(classify("--format", "csv", *inputs).stdout.decode())))
    records = [json.loads(line) for line in classify("--format", "jsonl", *inputs).stdout.splitlines()]
    assert list(rows[0]) == ["path", "label", "index", "confidence", "top", "model", "error_code", "error_message"]
    assert [row["path"] for row in rows] == [str(path) for path in inputs]
    assert (rows[0]["label"], rows[0]["index"]) == (records[0]["label"], str(records[0]["index"]))
    assert (float(rows[0]["confidence"]), json.loads(rows[0]["top"])) == (records[0]["confidence"], records[0]["top"])
    assert (rows[1]["label"], rows[1]["error_code"]) == ("", "empty-file")


def test_a_name_that_a_spreadsheet_would_run_is_text_in_csv_and_exact_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["=cmd.png", "@a.png", "+b.png", "c.png"]
    for name in names:
        Path(name).write_bytes(encoded(garment()))
    rows = list(csv.DictReader(io.StringIO(classify("--format", "csv", *names).stdout.decode())))
    assert [row["path"] for row in rows] == ["'=cmd.png", "'@a.png", "'+b.png", "c.png"]
    assert [json.loads(line)["path"] for line in classify("--format", "jsonl", *names).stdout.splitlines()] == names


def test_an_empty_folder_gives_an_empty_list_and_a_note(tmp_path: Path) -> None:
    run = classify("-r", tmp_path, "--format", "json")
    assert (run.returncode, json.loads(run.stdout), run.stderr) == (0, [], b"No pictures found.\n")


def test_the_number_of_classes_is_as_asked() -> None:
    top = json.loads(classify("--format", "jsonl", "--top-k", "10", SAMPLES[0]).stdout)["top"]
    assert sorted(entry["index"] for entry in top) == list(range(10))
    assert [entry["probability"] for entry in top] == sorted((entry["probability"] for entry in top), reverse=True)


def test_below_the_threshold_the_label_is_unsure_and_the_exit_code_stays_0() -> None:
    run = classify("--min-confidence", "1", "--format", "jsonl", SAMPLES[6])
    record = json.loads(run.stdout)
    assert (run.returncode, record["label"], record["index"]) == (0, UNSURE, record["top"][0]["index"])
    text = classify("--min-confidence", "1", SAMPLES[6]).stdout.decode()
    assert re.fullmatch(r".*: unsure \(\d+\.\d %\)\n", text)


def test_an_output_file_holds_what_would_be_printed_and_no_debris_is_left(tmp_path: Path) -> None:
    run = classify("--format", "csv", "--output", tmp_path / "out.csv", *SAMPLES)
    assert (tmp_path / "out.csv").read_bytes() == classify("--format", "csv", *SAMPLES).stdout
    assert (run.stdout, list(tmp_path.iterdir())) == (b"", [tmp_path / "out.csv"])


def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    run = classify("--output", tmp_path / "a_file" / "out.csv", SAMPLES[0])
    assert run.returncode == 0
    run = classify("--output", tmp_path / "a_file" / "out.csv" / "below", SAMPLES[0])
    assert (run.returncode, run.stderr.count(b"\n")) == (1, 1)


@posix_only
def test_an_output_that_is_a_device_stays_one() -> None:
    assert classify("--output", "/dev/null", SAMPLES[0]).returncode == 0
    assert Path("/dev/null").is_char_device()


# Inputs that fail


def test_what_fails_has_a_row_in_its_place_the_others_go_on_and_the_exit_code_is_1(folder: Path) -> None:
    run = classify("-r", folder, SAMPLES[1], folder / "missing.png", "--format", "jsonl")
    records = [json.loads(line) for line in run.stdout.splitlines()]
    assert [record["error"] and record["error"]["code"] for record in records] == [
        None,
        "not-an-image",
        "empty-file",
        None,
        "missing-file",
    ]
    assert (run.returncode, run.stderr) == (1, b"5 inputs: 2 classified, 3 failed.\n")
    assert all(record["label"] is record["index"] is record["confidence"] is None for record in records[1:3])


def test_a_folders_files_that_are_no_pictures_are_skipped_and_counted_but_a_named_one_is_tried(folder: Path) -> None:
    for name, content in {
        "LICENSE": b"MIT",
        "code.py": b"pass",
        "camera": encoded(garment()),
        "x.heic": b"ftyp",
    }.items():
        (folder / name).write_bytes(content)
    run = classify("-r", folder, folder / "LICENSE", "--format", "jsonl")
    names = [Path(json.loads(line)["path"]).name for line in run.stdout.splitlines()]
    assert names == ["camera", "good.png", "none.jpg", "void.png", "x.heic", "LICENSE"]
    assert run.stderr.decode().splitlines() == [
        "6 inputs: 2 classified, 4 failed.",
        "Skipped 2 files that are not pictures (-v names them).",
    ]
    named = classify("-r", "-v", folder, "--workers", "2").stderr.decode()
    assert f"{folder / 'code.py'}: not a picture, skipped" in named


def test_one_input_is_counted_as_one() -> None:
    assert classify("-v", SAMPLES[0]).stderr == b"1 input: 1 classified, 0 failed.\n"


def test_an_address_is_said_to_be_one() -> None:
    assert b"download it first" in classify("https://example.org/shirt.png").stdout


def test_errors_in_text_stand_in_order_on_standard_output(folder: Path) -> None:
    run = classify(folder / "void.png", SAMPLES[1], "-q")
    first, second = run.stdout.decode().splitlines()
    assert first == f"{folder / 'void.png'}: error: the file is empty"
    assert "Trouser" in second
    assert (run.returncode, run.stderr) == (1, b"")


def test_a_folder_without_recursive_is_an_error_row_that_says_how(folder: Path) -> None:
    run = classify(folder)
    assert (run.returncode, b"-r" in run.stdout) == (1, True)


def test_debug_shows_the_cause_and_nothing_else_does(folder: Path) -> None:
    (folder / "cut.png").write_bytes(encoded(garment())[:60])
    assert b"Traceback" not in classify("-v", folder / "cut.png").stderr
    assert b"Traceback" in classify("--debug", folder / "cut.png").stderr


@posix_only
def test_a_pipe_and_a_device_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    run = classify(tmp_path / "pipe", "/dev/zero", "--format", "jsonl")
    assert [json.loads(line)["error"]["code"] for line in run.stdout.splitlines()] == ["unreadable-file"] * 2


def test_standard_input_is_an_image_too() -> None:
    run = classify("-", SAMPLES[1], "--format", "jsonl", data=SAMPLES[1].read_bytes())
    first, second = (json.loads(line) for line in run.stdout.splitlines())
    assert first == second | {"path": "-"}
    assert json.loads(classify("-", "--format", "jsonl").stdout)["error"]["code"] == "empty-file"


# Names


STRANGE = b"new\nline \x1b[31m \xe2\x80\xae \xc3\xa9 \xff.png"  # a line end, an escape, a bidi mark, an e, a stray byte


@pytest.fixture
def strange(tmp_path: Path) -> str:
    if sys.platform != "linux":
        pytest.skip("paths are bytes on Linux only")
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + STRANGE)
    Path(path).write_bytes(encoded(garment()))
    return path


@pytest.mark.parametrize("form", ["text", "csv"])
def test_strange_names_are_escaped_for_people(strange: str, form: str) -> None:
    run = classify(strange, "--format", form)
    assert rb"new\nline \x1b[31m \u202e " + "é".encode() + rb" \xff.png" in run.stdout
    assert run.returncode == 0


def test_strange_names_come_back_byte_by_byte_from_json(strange: str) -> None:
    run = classify(strange, "--format", "jsonl")
    assert run.stdout.isascii()
    assert os.fsencode(json.loads(run.stdout)["path"]) == os.fsencode(strange)


def test_strange_names_are_escaped_in_what_is_said_beside_the_rows(strange: str) -> None:
    frames = [PIL.Image.fromarray(levels) for levels in (garment(), 255 - garment())]
    Path(strange).write_bytes(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    for run in (classify(strange), classify("--model", strange, SAMPLES[0])):
        assert rb"line \x1b[31m \u202e " + "é".encode() + rb" \xff.png" in run.stderr
        assert (b"\x1b" in run.stderr, run.stderr.count(b"\n")) == (False, 1)


def test_a_terminal_that_knows_less_than_unicode_gets_escapes(tmp_path: Path) -> None:
    run = classify(tmp_path / "é中.png", PYTHONIOENCODING="latin-1")
    assert (run.returncode, b"\xe9\\u4e2d.png" in run.stdout) == (1, True)


# Terminals


def test_color_is_for_terminals_or_on_request(folder: Path) -> None:
    inputs = (SAMPLES[1], folder / "void.png")
    assert b"\x1b" not in classify(*inputs).stdout
    colored = classify(*inputs, FORCE_COLOR="1").stdout
    assert (b"\x1b[1mTrouser" in colored, b"\x1b[31merror" in colored) == (True, True)
    assert b"\x1b" not in classify(*inputs, "--format", "jsonl", FORCE_COLOR="1").stdout


@posix_only
@pytest.mark.parametrize(
    ("arguments", "both", "bar"),
    [((), False, True), (("-q",), False, False), ((), True, False)],
    ids=["to a pipe", "quiet", "rows on the same terminal"],
)
def test_progress_is_shown_to_a_person_whose_rows_go_elsewhere(arguments: Any, both: bool, bar: bool) -> None:
    import pty

    leader, follower = pty.openpty()
    command = [SCRIPT, "classify", *arguments, *map(str, SAMPLES)]
    subprocess.run(command, stdout=follower if both else subprocess.DEVNULL, stderr=follower, check=True, timeout=60)
    os.close(follower)
    assert (b"Classifying" in _read_all(leader)) == bar


def _read_all(leader: int) -> bytes:
    content = b""
    try:
        while piece := os.read(leader, 65536):
            content += piece
    except OSError:  # what Linux says at the end of a terminal
        pass
    os.close(leader)
    return content


@posix_only
def test_a_closed_pipe_ends_quietly() -> None:
    command = [SCRIPT, "classify", *map(str, SAMPLES * 500)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"0-t-shirt-top.png" in process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 0


# Usage


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((), "Missing argument"),
        (("-", "-"), "only once"),
        (("-r", SAMPLES[0]), "-r has no effect"),
        (("--top-k", "0", SAMPLES[0]), "--top-k"),
        (("--top-k", "11", SAMPLES[0]), "--top-k"),
        (("--min-confidence", "nan", SAMPLES[0]), "--min-confidence"),
        (("--min-confidence", "50", SAMPLES[0]), "--min-confidence"),
        (("--format", "xml", SAMPLES[0]), "--format"),
        (("--threads", "0", SAMPLES[0]), "--threads"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str | Path, ...], hint: str) -> None:
    run = classify(*arguments)
    assert (run.returncode, run.stdout, hint in run.stderr.decode()) == (2, b"", True)


def test_a_model_that_is_none_ends_with_code_3_before_any_row(tmp_path: Path) -> None:
    for model in (tmp_path / "missing.onnx", SAMPLES[0]):
        run = classify("--model", model, SAMPLES[0])
        assert (run.returncode, run.stdout, run.stderr.count(b"\n")) == (3, b"", 1)


def test_threads_and_another_copy_of_the_model_change_nothing(tmp_path: Path, classifier: Classifier) -> None:
    copy = tmp_path / classifier.path.name
    copy.write_bytes(classifier.path.read_bytes())
    plain = classify("--format", "jsonl", *SAMPLES).stdout
    assert classify("--format", "jsonl", "--threads", "2", "--model", copy, *SAMPLES).stdout == plain
