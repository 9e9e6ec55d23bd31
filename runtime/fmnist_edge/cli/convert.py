"""`fmnist-edge convert`: a Keras file to checked fp32 and int8 ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fmnist_edge.cli.options import common_options, data_option, note, output_folder_option
from fmnist_edge.errors import MissingExtraError

if TYPE_CHECKING:
    from fmnist_convert.conversion import Row

_PATH: Final = click.Path(path_type=Path)


@click.command(name="convert")
@click.argument("sources", metavar="MODEL.keras | SEGMENTER.keras HEAD.keras", nargs=-1, required=True, type=_PATH)
@output_folder_option
@data_option
@click.option("--photos", type=_PATH, metavar="DIR", help="Photos to measure a photo model on, too ($FMNIST_PHOTOS).")
@click.option("--name", metavar="NAME", help="Name of model and files.  [default: from the .keras file]")
@click.option("--model-version", metavar="VERSION", default="1.0.0", show_default=True, help="Version to stamp.")
@click.option("--allow-worse", is_flag=True, help="Write the files even if the parity gate does not hold.")
@common_options
def command(
    sources: tuple[Path, ...],
    output: Path,
    data: Path | None,
    photos: Path | None,
    name: str | None,
    model_version: str,
    allow_worse: bool,
) -> None:
    """Convert Keras files to ONNX files in a folder, if they agree: one of a classifier, or two of a photo model.

    A classifier becomes an fp32 and an int8 file. All 10,000 test images are run through each: if int8 is more than
    0.1 point less accurate than Keras, gives another label for more than 0.5 %, or fp32 differs by more than 1e-5,
    nothing is written and the exit code is 1.

    The segmenter and the head of a photo model become one int8 file, with the classifier that comes with this package
    for pictures that need no segmenter. On drawn scenes, and on photos where there are any, it must give the label of
    the fp32 graph for 98 %.
    """
    if len(sources) > 2:
        raise click.UsageError("Name one .keras file of a classifier, or the two of a photo model.")
    if photos and len(sources) == 1:
        raise click.UsageError("--photos has no effect on a classifier.")
    try:
        from fmnist_convert.parity import hold_gate
        from fmnist_convert.photo.conversion import convert_photo_model
        from fmnist_convert.pipeline import convert
    except ModuleNotFoundError as error:
        raise MissingExtraError("convert", "convert", str(error.name)) from error
    if len(sources) == 1:
        note(f"converting {sources[0]} and measuring the result on 10,000 test images")
        conversion = convert(sources[0], data=data, name=name, model_version=model_version)
    else:
        note(f"converting {sources[0]} and {sources[1]} and measuring the result")
        conversion = convert_photo_model(*sources, data=data, photos=photos, name=name, model_version=model_version)
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
