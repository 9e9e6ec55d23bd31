"""The fuzzer's way into the model loader: `python -m tests.reliability.fuzz.fuzz_models CORPUS -runs=N`."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import numpy as np

with atheris.instrument_imports(include=["fmnist_edge"]):
    from fmnist_edge import onnx_reader, session
    from fmnist_edge.classifier import Classifier
    from fmnist_edge.errors import ModelError
    from fmnist_edge.onnx_reader import first_layer, iterate_fields
    from fmnist_edge.session import inspect_model

from tests.reliability.fuzz.verdict import in_time

assert onnx_reader.MAX_NODES  # imported here, or it would be imported later and not be seen by the fuzzer
# What counts as a hang is two seconds, so a network must be given up before.
session.SECONDS = 0.7  # type: ignore[misc]
_FOLDER = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
_MODEL = Path(_FOLDER.name) / "model.onnx"
_INTERESTING = (0, 1, 2, 3, 7, 10, 16, 28, 127, 128, 255, 784, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
_DEEPEST = 6


def one_input(data: bytes) -> None:
    """Use a file as the model of every command that takes one."""
    _MODEL.write_bytes(data)
    with in_time():
        for use in (_classify, inspect_model, first_layer):
            try:
                use(_MODEL)
            except ModelError as error:
                assert str(error), "an empty message"


def _classify(path: Path) -> None:
    classifier = Classifier(path)
    for count in (1, 3):
        answers = classifier.predict(np.full((count, 28, 28), 200, np.uint8))
        assert answers.shape == (count, 10), answers.shape


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a message as a message: a field somewhere in it, the lengths around it mended."""
    choice = random.Random(seed)
    if choice.random() < 0.1:
        return bytes(atheris.Mutate(data, max_size))
    return _changed(data, choice, 0)[:max_size]


def _changed(data: bytes, choice: random.Random, depth: int) -> bytes:
    try:
        fields: list[tuple[int, Any]] = list(iterate_fields(data))
    except ValueError:
        fields = []
    if not fields or depth >= _DEEPEST:
        return bytes(atheris.Mutate(data, len(data) + 16))
    at = choice.randrange(len(fields))
    number, value = fields[at]
    what = choice.random()
    if what < 0.08:
        del fields[at]
    elif what < 0.16:
        fields.insert(choice.randrange(len(fields) + 1), fields[at])
    elif what < 0.22:
        fields[at] = (choice.randrange(1, 30), value)
    elif isinstance(value, int):
        fields[at] = (number, choice.choice(_INTERESTING))
    else:
        fields[at] = (number, _changed(value, choice, depth + 1))
    return b"".join(_written(number, value) for number, value in fields)


def _written(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=mutated)
    atheris.Fuzz()
