"""`fmnist-edge verify`: does this device give the answers that were measured?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from fmnist_edge.cli.options import common_options, print_findings, text_or_json_option
from fmnist_edge.errors import GateError


@click.command(name="verify")
@click.argument("model", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@text_or_json_option
@common_options
def command(model: Path | None, output_format: str) -> None:
    """Run the self-test vectors stored beside MODEL (both embedded ones by default) on this device.

    Exits with 1 if a model file is not the one that its vectors were made with, or an answer differs. JSON is a list
    with an object for each model.
    """
    from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL
    from fmnist_edge.self_test import run_self_test

    results = [run_self_test(path) for path in ([model] if model else [EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL])]
    if output_format == "json":
        click.echo(json.dumps([result.as_facts() for result in results], indent=1))
    else:
        print_findings([finding for result in results for finding in result.findings()])
    if not all(result.passed for result in results):
        raise GateError("this device or file does not reproduce the measured answers; do not rely on it")
    if output_format == "text":
        click.echo("this device reproduces the measured answers")
