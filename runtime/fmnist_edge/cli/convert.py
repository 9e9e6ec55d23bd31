"""`fmnist-edge convert`: a Keras file to checked fp32 and int8 ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fmnist_edge.cli.options import common_options, data_option, note, output_folder_option
from fmnist_edge.errors import MissingExtraError

if TYPE_CHECKING:
    from fmnist_convert.pipeline import Row


@click.command(name="convert")
@click.argument("source", metavar="MODEL.keras", type=click.Path(path_type=Path))
@output_folder_option
@data_option
@click.option("--name", metavar="NAME", help="Name of model and files (default: that of the .keras file).")
@click.option("--model-version", metavar="VERSION", help="Version stamped into the files.  [default: 1.0.0]")
@click.option("--allow-worse", is_flag=True, help="Write the files even if the parity gate does not hold.")
@common_options
def command(
    source: Path,
    output: Path,
    data: Path | None,
    name: str | None,
    model_version: str | None,
    allow_worse: bool,
) -> None:
    """Convert MODEL.keras to fp32 and int8 ONNX files in a folder, if they agree with it.

    All 10,000 test images are run through each file. If int8 is more than 0.1 point less accurate than Keras,
    gives another label for more than 0.5 %, or fp32 differs by more than 1e-5, nothing is written and the exit
    code is 1.
    """
    try:
        from fmnist_convert.pipeline import DEFAULT_VERSION, convert, hold_gate
    except ModuleNotFoundError as error:
        raise MissingExtraError("convert", "convert", str(error.name)) from error
    note(f"converting {source} and measuring the result on 10,000 test images")
    conversion = convert(source, data=data, name=name, model_version=model_version or DEFAULT_VERSION)
    _print_table(conversion.rows)
    if not allow_worse:
        hold_gate(conversion.broken)
    for limit in conversion.broken:
        note(f"Warning: parity gate not held: {limit}")
    for path in conversion.write(output):
        click.echo(f"wrote {path}")


def _print_table(rows: list[Row]) -> None:
    """Print a line a file: bytes, accuracy, agreement with Keras, largest difference of a probability."""
    width = max(len(row.title) for row in rows)
    click.echo(f"{'file':{width}}    bytes  accuracy  same label   differ  max |dp|")
    for row in rows:
        line = f"{row.title:{width}}  {row.size:7,}    {row.accuracy:.4f}"
        if row.parity is not None:
            parity = row.parity
            line += f"    {parity.agreement:8.2%}  {parity.different_labels:7d}  {parity.max_difference:8.2g}"
        click.echo(line)
