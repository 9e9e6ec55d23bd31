"""What a device pays that no machine's speed changes: sizes, nodes, packages. Limits, not measurements."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

MODEL_BYTES = 110_000
# The models with their vectors take 427 kB, the rest of the runtime about 155. Training, conversion and benchmarks,
# which a device doesn't need, take 180: leaving them out would need distributions of their own, which an extra can't
# install from a checkout or a wheel without an index.
WHEEL_BYTES = 775_000
NODES = {EMBEDDED_CLASSIFIER: 4, EMBEDDED_PHOTO_MODEL: 45}
DEPENDENCIES = {"click", "numpy", "onnxruntime", "pillow"}
THEIR_DEPENDENCIES = {"flatbuffers", "packaging", "protobuf", "coloredlogs", "humanfriendly", "sympy", "mpmath"}


def test_the_classifier_file_is_at_most_110_kilobytes() -> None:
    assert EMBEDDED_CLASSIFIER.stat().st_size <= MODEL_BYTES


def test_the_wheel_is_at_most_775_kilobytes(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, str(Path(__file__).parents[2])], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert 400_000 < wheel.stat().st_size <= WHEEL_BYTES


@pytest.mark.parametrize("model", NODES, ids=lambda path: path.name)
def test_onnxruntime_leaves_no_more_nodes_than_it_did(model: Path, tmp_path: Path) -> None:
    nodes = optimized_nodes(model, tmp_path / "optimized.onnx")
    assert len(nodes) <= NODES[model]


def test_the_classifier_runs_as_two_integer_products_between_a_reshape_and_a_softmax(tmp_path: Path) -> None:
    nodes = optimized_nodes(EMBEDDED_CLASSIFIER, tmp_path / "optimized.onnx")
    assert nodes == ["Flatten", "QGemm", "QGemm", "Softmax"]


def optimized_nodes(model: Path, target: Path) -> list[Any]:
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(target).graph.node]


def test_an_installation_is_the_runtimes_four_dependencies_and_theirs() -> None:
    names = set(requirements_of("fmnist-edge"))
    assert names >= DEPENDENCIES | {"fmnist-edge"}
    assert names <= DEPENDENCIES | THEIR_DEPENDENCIES | {"fmnist-edge"}


def requirements_of(name: str) -> dict[str, Distribution]:
    """Return an installed distribution and all that it requires here, without extras."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        one = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if one in found:
            continue
        try:
            found[one] = distribution(one)
        except PackageNotFoundError:
            continue
        wanted = map(Requirement, found[one].requires or ())
        waiting += [more.name for more in wanted if more.marker is None or more.marker.evaluate({"extra": ""})]
    return found
