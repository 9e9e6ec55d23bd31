"""Options that several commands share: defined once, meaning the same everywhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

_META: Final = "fmnist_edge"  # prefix of our keys in click's context-wide dictionary


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[f"{_META}.{param.name}"] = True


def _flag(*names: str, help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(*names, is_flag=True, expose_value=False, callback=_remember, help=help_text)


def common_options(function: Function) -> Function:
    """Add -q, -v and --debug. Read them with `is_quiet`, `is_verbose` and `is_debugging`."""
    _flag("--debug", help_text="Show the traceback of an error.")(function)
    _flag("-v", "--verbose", help_text="Say more on standard error.")(function)
    _flag("-q", "--quiet", help_text="Say nothing on standard error but errors.")(function)
    return function


def is_quiet(ctx: click.Context | None = None) -> bool:
    """Tell whether -q was given."""
    return _given(ctx, "quiet")


def is_verbose(ctx: click.Context | None = None) -> bool:
    """Tell whether -v was given."""
    return _given(ctx, "verbose")


def is_debugging(ctx: click.Context | None = None) -> bool:
    """Tell whether --debug was given."""
    return _given(ctx, "debug")


def _given(ctx: click.Context | None, name: str) -> bool:
    return bool((ctx or click.get_current_context()).meta.get(f"{_META}.{name}", False))


def wanted_color() -> bool | None:
    """Follow NO_COLOR and FORCE_COLOR (no-color.org, force-color.org); None leaves it to the terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return None


def note(message: str) -> None:
    """Tell people something on standard error, unless -q asks for silence."""
    if not is_quiet():
        click.echo(message, err=True)


def print_findings(findings: list[tuple[bool, str]]) -> None:
    """Print a line for each check, given as (held, what it found), those that failed in red."""
    for held, line in findings:
        mark = click.style("ok  ", fg="green") if held else click.style("FAIL", fg="red", bold=True)
        click.echo(f"{mark} {line}")


def shows_progress() -> bool:
    """Tell whether a progress bar makes sense: a person watches standard error and did not ask for quiet."""
    return not is_quiet() and sys.stderr.isatty()


model_option = click.option(
    "--model",
    "model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Another .onnx file instead of the embedded one.",
)
data_option = click.option(
    "--data",
    "data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder with the dataset's IDX files (default: looked up, see `fmnist-edge data status`).",
)
output_folder_option = click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    required=True,
    help="Folder for the results; made if missing.",
)
output_file_option = click.option(
    "--output",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the result to FILE instead of standard output.",
)
text_or_json_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the output.",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads of onnxruntime; the answer does not depend on it.",
)


def _is_number(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """Refuse `nan`, which no range excludes."""
    if value != value:
        raise click.BadParameter("must be a number, 0..1.")
    return value


min_confidence_option = click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    callback=_is_number,
    metavar="P",
    help="Call the label `unsure` if its probability is below P, 0..1.  [default: 0 for images of the dataset, "
    "the photo model's own threshold for photos]",
)
route_option = click.option(
    "--as",
    "route",
    type=click.Choice(["auto", "photo", "dataset"]),
    default="auto",
    show_default=True,
    help="Take all images for photos, or for images of the dataset; auto takes 28x28 grey ones for the dataset's.",
)
# As in image_files, whose import --help can do without.
HIGHEST_MAX_PIXELS: Final = 178_956_970

max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(1, HIGHEST_MAX_PIXELS),
    metavar="N",
    help="Refuse pictures of more pixels, of a JPEG after its reduced decoding.  [default: 25000000]",
)
