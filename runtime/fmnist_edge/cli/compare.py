"""`fmnist-edge compare`: parity between any two model files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fmnist_edge.cli.options import common_options, data_option, text_or_json_option
from fmnist_edge.errors import GateError, MissingExtraError

if TYPE_CHECKING:
    from fmnist_edge.dataset import SplitName


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
def command(
    first: Path, second: Path, min_agreement: float, split: SplitName, data: Path | None, output_format: str
) -> None:
    """Compare two models (.keras or .onnx): accuracy, same labels, difference of probabilities."""
    try:
        from fmnist_convert.compare import compare
    except ModuleNotFoundError as error:
        raise MissingExtraError("compare", "convert", str(error.name)) from error
    parity = compare(first, second, split=split, data=data)
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
    click.echo(json.dumps(figures, indent=1) if output_format == "json" else _as_text(figures))
    if parity.agreement < min_agreement:
        raise GateError(
            f"the models agree on {parity.agreement:.2%} of the labels, less than --min-agreement {min_agreement:.2%}"
        )


def _as_text(figures: dict[str, object]) -> str:
    width = max(len(name) for name in figures)
    values = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in figures.items()}
    return "\n".join(f"{name.replace('_', ' '):{width}}  {value}" for name, value in values.items())
