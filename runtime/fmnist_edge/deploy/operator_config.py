"""The operator list from which onnxruntime's build script makes a small runtime (--include_ops_by_config)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from fmnist_edge.deploy.ort_format import optimized_graphs
from fmnist_edge.model_file.info import read_side_json
from fmnist_edge.model_file.onnx_weights import operators_of

CONFIG: Final = "required_operators.config"
_HEAD: Final = """\
# For onnxruntime's build script: build.sh --include_ops_by_config required_operators.config ...
# The form is described at onnxruntime.ai, "Reduced operator config file": domain;opset;operators.
# First the operators of {files}, as recorded in their metadata;
# then those that onnxruntime puts in their place when it optimizes the graphs (also in the .ort files).
"""


def operator_config(models: Iterable[Path]) -> bytes:
    """Return the config for a runtime that runs these .onnx files, and their .ort forms.

    Raises ModelError if a model or the JSON beside it is damaged.
    """
    models = list(models)
    needed: dict[tuple[str, int], set[str]] = defaultdict(set)
    for domain, version, name in (operator for model in models for operator in (*_recorded(model), *_made(model))):
        needed[domain, version].add(name)
    lines = [f"{domain};{version};{','.join(sorted(names))}\n" for (domain, version), names in sorted(needed.items())]
    return (_HEAD.format(files=" and ".join(model.name for model in models)) + "".join(lines)).encode()


def _recorded(model: Path) -> Iterator[tuple[str, int, str]]:
    facts = read_side_json(model)
    for name in facts["operators"]:
        yield "ai.onnx", int(facts["opset"]), name


def _made(model: Path) -> Iterator[tuple[str, int, str]]:
    for graph in optimized_graphs(model):
        yield from operators_of(graph)
