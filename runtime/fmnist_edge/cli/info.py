"""`fmnist-edge info`, `verify` and `--version`: what a model file is, and whether this device gives its answers."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import click

from fmnist_edge import __version__
from fmnist_edge.cli.options import FILE, common_options, print_findings, text_or_json_option
from fmnist_edge.errors import GateError, printable
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, read_side_json, sha256_of

_EMBEDDED: Final = (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL)


@click.command(name="info")
@click.argument("model", metavar="[MODEL]", required=False, type=FILE)
@text_or_json_option
@common_options
def info(model: Path | None, output_format: str) -> None:
    """Print what a model is. Contract, metadata, size, operators and SHA-256; of both embedded ones by default.

    JSON is an object for MODEL, or a list of two for the embedded ones.
    """
    from fmnist_edge.session import inspect_model

    found = [inspect_model(path) for path in ([model] if model else _EMBEDDED)]
    if output_format == "json":
        click.echo(json.dumps(found[0] if model else found, indent=1))
    else:
        click.echo("\n\n".join("\n".join(_lines(one)) for one in found))


def _lines(values: dict[str, Any], indent: str = "") -> list[str]:
    """Return `key: value` lines, nested ones indented below their key."""
    lines = []
    for key, value in values.items():
        title = click.style(printable(key.replace("_", " ")), bold=not indent)
        if isinstance(value, dict):
            lines += [f"{indent}{title}:", *_lines(value, indent + "  ")]
        else:
            text = ", ".join(str(part) for part in value) if isinstance(value, list) else value
            lines.append(f"{indent}{title}: {printable(str(text))}")
    return lines


@click.command(name="verify")
@click.argument("model", metavar="[MODEL]", required=False, type=FILE)
@text_or_json_option
@common_options
def verify(model: Path | None, output_format: str) -> None:
    """Check that this device answers as measured. Runs the self-test vectors beside MODEL (by default both embedded).

    Exits with 1 if a model file is not the one that its vectors were made with, or an answer differs. JSON is a list
    with an object for each model.
    """
    from fmnist_edge.self_test import run_self_test

    results = [run_self_test(path) for path in ([model] if model else _EMBEDDED)]
    if output_format == "json":
        click.echo(json.dumps([result.as_record() for result in results], indent=1))
    else:
        print_findings([finding for result in results for finding in result.findings()])
    if not all(result.passed for result in results):
        raise GateError("this device or file does not reproduce the measured answers; do not rely on it")
    if output_format == "text":
        click.echo("this device reproduces the measured answers")


def version_line() -> str:
    """Return package, names, versions and SHA-256 (12 digits) of both models, and onnxruntime's version."""
    try:
        runtime = version("onnxruntime")
    except PackageNotFoundError:
        runtime = "not installed"
    described = [(read_side_json(path), sha256_of(path)[:12]) for path in _EMBEDDED]
    models = "; ".join(f"model {one['name']} {one['version']}, sha256 {digest}" for one, digest in described)
    return f"fmnist-edge {__version__} ({models}; onnxruntime {runtime})"
