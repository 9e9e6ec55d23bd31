"""`fmnist-edge info`: what a model file is, and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fmnist_edge.bulk.printable import printable
from fmnist_edge.cli.options import common_options, text_or_json_option


@click.command(name="info")
@click.argument("model", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@text_or_json_option
@common_options
def command(model: Path | None, output_format: str) -> None:
    """Print the contract, metadata, size, operators and SHA-256 of MODEL (the embedded one by default)."""
    from fmnist_edge.session import inspect_model

    facts = inspect_model(model)
    click.echo(json.dumps(facts, indent=1) if output_format == "json" else "\n".join(_lines(facts)))


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    """Return the facts as `key: value` lines, nested facts indented below their key."""
    lines = []
    for key, value in facts.items():
        title = click.style(printable(key.replace("_", " ")), bold=not indent)
        if isinstance(value, dict):
            lines += [f"{indent}{title}:", *_lines(value, indent + "  ")]
        else:
            text = ", ".join(str(part) for part in value) if isinstance(value, list) else value
            lines.append(f"{indent}{title}: {printable(str(text))}")
    return lines
