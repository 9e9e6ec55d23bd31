"""The commands of this room: `convert`, a person's network to checked ONNX files, and `compare`, any two models."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fmnist_convert.progress import terminal_progress
from fmnist_edge.cli.options import (
    FILE,
    check_outputs,
    common_options,
    data_option,
    is_verbose,
    note,
    output_folder_option,
    overwrite_option,
    shows_progress,
    text_or_json_option,
)
from fmnist_edge.errors import GateError, MissingExtraError

if TYPE_CHECKING:
    from fmnist_convert.parity import Row
    from fmnist_edge.dataset import SplitName

WRITTEN: Final = (".fp32.onnx", ".int8.onnx", ".int8.json", ".int8.md", ".int8.vectors.json")


@contextlib.contextmanager
def _needs_extra(command: str) -> Iterator[None]:
    """Say what to install where a module of the extra [convert] is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(command, "convert", str(error.name)) from error


@click.command(name="convert")
@click.argument("source", metavar="MODEL", type=FILE)
@output_folder_option
@data_option
@click.option(
    "--pictures",
    "--photos",
    "pictures",
    multiple=True,
    type=FILE,
    metavar="DIR",
    help="Pictures to calibrate and measure a photo model on; repeatable.  "
    "[default: $FMNIST_PHOTOS and $FMNIST_PICTURES]",
)
@click.option("--name", metavar="NAME", help="Name of model and files.  [default: from MODEL]")
@click.option("--model-version", metavar="VERSION", default="1.0.0", show_default=True, help="Version to stamp.")
@click.option(
    "--input-form",
    metavar="FORM",
    help="How the network takes grey levels: 0..1, 0..255, -1..1, standardized (by mean 0.2860 and deviation 0.3530), "
    "or one of these with -inverted.  [default: measured on 2,000 training images]",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="How much accuracy int8 may lose, 0..1.  [default: 0.003; 0.001 for networks of `train`]",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of test images that must keep their label, 0..1.  [default: 0.985; 0.995 for networks of `train`]",
)
@click.option("--keep-fp32", is_flag=True, help="Write the fp32 file even if the parity gate does not hold.")
@click.option("--allow-worse", is_flag=True, help="Write the int8 file too, even if the parity gate does not hold.")
@overwrite_option
@common_options
def convert(source: Path, output: Path, name: str | None, allow_worse: bool, overwrite: bool, **options: Any) -> None:
    """Convert a network to ONNX files that answer as it does.

    MODEL is a .keras or .h5 file of Keras 2 or 3, compiled or not, a SavedModel folder, or a float .onnx file as
    PyTorch exports it. No code in it is run. How it wants its images is measured on training images and built into the
    result, which takes uint8 [batch, 28, 28] and gives ten probabilities.

    All 10,000 test images are run through the original and through the result. If int8 loses too much accuracy,
    changes too many labels, or distorts the probabilities, no int8 file is written and the exit code is 1.
    """
    with _needs_extra("convert"):
        from fmnist_convert.convert import convert as convert_model
        from fmnist_convert.parity import hold_gate
    stem = name or (source.name if source.is_dir() else source.stem)
    check_outputs([output / f"{stem}{end}" for end in WRITTEN], [source], overwrite=overwrite)
    with terminal_progress(shows_progress(), verbose=is_verbose()) as progress:
        conversion = convert_model(source, name=name, allow_worse=allow_worse, progress=progress, **options)
    _print_table(conversion.rows)
    for line in conversion.notes:
        note(f"note: {line}")
    for path in conversion.write(output):
        click.echo(f"wrote {path}")
    if allow_worse:
        for limit in conversion.broken:
            note(f"warning: parity gate not held: {limit}")
    else:
        hold_gate(conversion.broken, "No int8 file was written (--allow-worse writes it)")


def _print_table(rows: list[Row]) -> None:
    """Print a line a file: bytes, accuracy, agreement with the original, differences of the probabilities."""
    width = max(len(row.title) for row in rows)
    click.echo(f"{'file':{width}}       bytes  accuracy  same label   differ  max |dp|  mean |dp|     ECE")
    for row in rows:
        line = f"{row.title:{width}}  {row.size:10,}    {row.accuracy:.4f}"
        if row.parity is not None:
            parity = row.parity
            line += f"    {parity.agreement:8.2%}  {parity.different_labels:7d}  {parity.max_difference:8.2g}"
            line += f"   {parity.mean_difference:8.2g}  {parity.calibration_error:.4f}"
        click.echo(line)


@click.command(name="compare")
@click.argument("first", metavar="A", type=FILE)
@click.argument("second", metavar="B", type=FILE)
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
    """Compare two models. Accuracy, same labels, differences of probabilities, calibration error.

    Each is a .keras or .h5 file, a SavedModel folder, or an .onnx file, including those that `convert` wrote. How each
    wants its images is measured on training images.
    """
    from fmnist_convert.parity import measure_parity, predict_split

    with _needs_extra("compare"), terminal_progress(shows_progress(), verbose=is_verbose()) as progress:
        (reference, form, labels), (probabilities, other, _) = (
            predict_split(path, split, data, progress) for path in (first, second)
        )
    parity = measure_parity(probabilities, reference, labels)
    figures = {
        "first": str(first),
        "second": str(second),
        "first_input_form": form,
        "second_input_form": other,
        "split": split,
        "images": parity.images,
        "first_accuracy": parity.reference_accuracy,
        "second_accuracy": parity.accuracy,
        "agreement": parity.agreement,
        "different_labels": parity.different_labels,
        "max_difference": parity.max_difference,
        "mean_difference": parity.mean_difference,
        "first_calibration_error": parity.reference_calibration_error,
        "second_calibration_error": parity.calibration_error,
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
