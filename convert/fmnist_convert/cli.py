"""The commands of this room: `convert`, a Keras file to checked ONNX files, and `compare`, parity between two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fmnist_edge.cli.options import common_options, data_option, note, output_folder_option, text_or_json_option
from fmnist_edge.errors import GateError, MissingExtraError

if TYPE_CHECKING:
    from fmnist_convert.conversion import Row
    from fmnist_edge.dataset import SplitName

_PATH: Final = click.Path(path_type=Path)


@click.command(name="convert")
@click.argument("source", metavar="MODEL", type=_PATH)
@output_folder_option
@data_option
@click.option("--pictures", multiple=True, type=_PATH, metavar="DIR", help="Calibrate a photo model on these.")
@click.option("--name", metavar="NAME", help="Name of model and files.  [default: from the source]")
@click.option("--model-version", metavar="VERSION", default="1.0.0", show_default=True, help="Version to stamp.")
@click.option("--input-form", metavar="FORM", help="How the network takes its images.  [default: measured]")
@click.option("--max-drop", type=click.FloatRange(0, 1), help="How much less accurate int8 may be.  [default: 0.003]")
@click.option("--min-agreement", type=click.FloatRange(0, 1), help="Share of same labels.  [default: 0.985]")
@click.option("--keep-fp32", is_flag=True, help="Write the fp32 file where the gate does not hold.")
@click.option("--allow-worse", is_flag=True, help="Write the int8 file too where the gate does not hold.")
@common_options
def convert(source: Path, output: Path, allow_worse: bool, **options: Any) -> None:
    """Convert a network to ONNX files in a folder, if they answer as it does."""
    try:
        from fmnist_convert.convert import convert as convert_model
        from fmnist_convert.parity import hold_gate
    except ModuleNotFoundError as error:
        raise MissingExtraError("convert", "convert", str(error.name)) from error
    note(f"converting {source} and measuring the result")
    conversion = convert_model(source, allow_worse=allow_worse, **options)
    _print_table(conversion.rows)
    for path in conversion.write(output):
        click.echo(f"wrote {path}")
    for line in conversion.notes:
        note(line)
    if not allow_worse:
        hold_gate(conversion.broken, "No int8 file was written (--allow-worse writes it)")
    for limit in conversion.broken:
        note(f"Warning: parity gate not held: {limit}")


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


@click.command(name="compare")
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    default=0.995,
    show_default=True,
    help="Exit with 1 if fewer images get the same label.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Images to compare on.",
)
@data_option
@text_or_json_option
@common_options
def compare(
    first: Path, second: Path, min_agreement: float, split: SplitName, data: Path | None, output_format: str
) -> None:
    """Compare two models (.keras or .onnx): accuracy, same labels, difference of probabilities."""
    try:
        from fmnist_convert import compare as comparing
    except ModuleNotFoundError as error:
        raise MissingExtraError("compare", "convert", str(error.name)) from error
    parity = comparing.compare(first, second, split=split, data=data)
    figures = {
        "first": str(first),
        "second": str(second),
        "split": split,
        "images": parity.images,
        "first_accuracy": parity.reference_accuracy,
        "second_accuracy": parity.accuracy,
        "agreement": parity.agreement,
        "different_labels": parity.different_labels,
        "max_difference": parity.max_difference,
        "mean_difference": parity.mean_difference,
        "min_agreement": min_agreement,
    }
    click.echo(json.dumps(figures, indent=1) if output_format == "json" else _figures_as_text(figures))
    if parity.agreement < min_agreement:
        raise GateError(
            f"the models agree on {parity.agreement:.2%} of the labels, less than --min-agreement {min_agreement:.2%}"
        )


def _figures_as_text(figures: dict[str, object]) -> str:
    width = max(len(name) for name in figures)
    values = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in figures.items()}
    return "\n".join(f"{name.replace('_', ' '):{width}}  {value}" for name, value in values.items())
