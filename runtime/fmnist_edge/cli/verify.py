"""`fmnist-edge verify`: does this device give the answers that were measured?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from fmnist_edge.cli.options import common_options, text_or_json_option
from fmnist_edge.errors import GateError


@click.command(name="verify")
@click.argument("model", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@text_or_json_option
@common_options
def command(model: Path | None, output_format: str) -> None:
    """Run the self-test vectors stored beside MODEL (the embedded one by default) on this device.

    Exits with 1 if the model file is not the one that the vectors were made with, or an answer differs.
    """
    from fmnist_edge.model_file.self_test import run_self_test

    result = run_self_test(model)
    if output_format == "json":
        click.echo(json.dumps(result.as_facts(), indent=1))
    else:
        for passed, line in result.findings():
            mark = click.style("ok  ", fg="green") if passed else click.style("FAIL", fg="red", bold=True)
            click.echo(f"{mark} {line}")
    if not result.passed:
        raise GateError("this device or file does not reproduce the measured answers; do not rely on it")
    if output_format == "text":
        click.echo("this device reproduces the measured answers")
