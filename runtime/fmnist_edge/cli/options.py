"""Options that several commands share, what they print for people, and what a command may write."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from fmnist_edge.errors import UsageError
from fmnist_edge.model_info import LABELS, UNSURE

# What options and arguments that take files are declared with. Click looks at nothing but the kind of what is there:
# whoever opens the file says why it cannot be read, always in the same words, and as a row where rows are printed.
FILE: Final = click.Path(path_type=Path, readable=False)
OUTPUT_FILE: Final = click.Path(path_type=Path, readable=False, dir_okay=False)
FOLDER: Final = click.Path(path_type=Path, readable=False, file_okay=False)

Function = TypeVar("Function", bound=Callable[..., Any])

_META: Final = "fmnist_edge"  # prefix of our keys in click's context-wide dictionary
_BAR: Final = f"{_META}.bar"  # whether a progress bar is drawn
# Columns of a progress line: brackets, percentage and time left; the bar; what the figures beside it may take.
_AROUND_A_BAR, _LEAST_BAR, _WIDEST_BAR, _FIGURES = 21, 6, 36, 33


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
        over_a_bar = "\r\x1b[K" if click.get_current_context().meta.get(_BAR) else ""
        with contextlib.suppress(OSError):  # standard error may be a full disk
            click.echo(over_a_bar + message, err=True)


def print_findings(findings: list[tuple[bool, str]]) -> None:
    """Print a line for each check, given as (held, what it found), those that failed in red."""
    for held, line in findings:
        mark = click.style("ok  ", fg="green") if held else click.style("FAIL", fg="red", bold=True)
        click.echo(f"{mark} {line}")


def shows_progress() -> bool:
    """Tell whether a progress bar makes sense: a person watches, did not ask for quiet, and the cursor can move."""
    return not is_quiet() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def progress_bar(label: str, length: int | None, shown: Callable[[Any], str] | None = None) -> Iterator[Any]:
    """Give click's bar on standard error to call `update` of; it stays silent where nobody watches.

    What `note` says meanwhile takes the bar's line, and the bar goes on below it. Without `length` it only counts.
    `shown` turns what `update` is given into up to 30 characters beside the bar, where the terminal has room for them.
    """
    meta, drawn = click.get_current_context().meta, shows_progress()
    room = terminal_columns() - _AROUND_A_BAR
    label = label if length is None else label[: max(room - _LEAST_BAR, _LEAST_BAR)]
    room -= len(label)
    figures = shown is not None and room >= _FIGURES + _LEAST_BAR
    with click.progressbar(
        itertools.count() if length is None else None,
        length=length,
        label=label,
        show_pos=length is None,
        show_eta=room >= _LEAST_BAR,
        bar_template="%(label)s  %(info)s" if length is None else "%(label)s  [%(bar)s]  %(info)s",
        item_show_func=(lambda item: shown(item) if shown and item else None) if figures else None,
        width=max(_LEAST_BAR, min(_WIDEST_BAR, room - _FIGURES * figures)),
        file=sys.stderr if drawn else io.StringIO(),
    ) as bar:
        meta[_BAR] = drawn
        try:
            yield bar
        finally:
            meta[_BAR] = False


def terminal_columns() -> int:
    """Return the width of the terminal behind standard error: shutil asks standard output, which may be a file."""
    with contextlib.suppress(OSError, ValueError):
        return int(os.environ.get("COLUMNS") or os.get_terminal_size(sys.stderr.fileno()).columns) or 80
    return 80


model_option = click.option(
    "--model", "model", type=FILE, metavar="FILE", help="Use this .onnx file instead of the embedded one."
)
data_option = click.option(
    "--data",
    "data",
    type=FOLDER,
    metavar="DIR",
    help="Folder with the dataset's IDX files, or torchvision's (default: looked up, see `fmnist-edge data status`).",
)
output_folder_option = click.option(
    "-o",
    "--output",
    "output",
    type=FOLDER,
    metavar="DIR",
    required=True,
    help="Folder for the results; created if missing.",
)
output_file_option = click.option(
    "-o",
    "--output",
    "output",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Write the result to FILE instead of standard output.",
)
text_or_json_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output format.",
)


def format_option(*forms: str, help_text: str) -> Callable[[Function], Function]:
    """Add --format for a command with `output_file_option`, which passes the value through `chosen_form`."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(forms),
        help=f"{help_text}  [default: by the extension of --output, else text]",
    )


def chosen_form(form: str | None, output: Path | None, *forms: str) -> str:
    """Return the form that --format named, or the one of `forms` that the output's ending names, or text."""
    ending = output.suffix[1:].lower() if output else ""
    return form or (ending if ending in forms else "text")


threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="onnxruntime's threads; answers don't depend on it.",
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
    help="The label is `unsure` if the best probability is below P (0..1).  [default: the model's own threshold]",
)
route_option = click.option(
    "--as",
    "route",
    type=click.Choice(["auto", "photo", "dataset"]),
    default="auto",
    show_default=True,
    help="Use one model for every picture; auto: dataset classifier for 28x28 pixels, photo model for others.",
)
max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(1, 178_956_970),  # twice Pillow's MAX_IMAGE_PIXELS: it refuses more itself
    metavar="N",
    help="Refuse larger pictures (for a JPEG, after decoding at reduced scale).  [default: 25000000]",
)


Ours = Callable[[Path], bool]

_PIECE: Final = 1 << 16  # bytes read from either end of a file; every mark is in one of them
_LABELS: Final = b"|".join(re.escape(label.encode()) for label in (*LABELS, UNSURE))
_ROWS: Final = (  # what `classify` and `evaluate` print: text, JSON, CSV
    rb"(?m)^[^\n]*: (?:\x1b\[\S*?m)?(?:" + _LABELS + rb")[^\n]* \(\d+\.\d %\)",
    rb"(?m)^[^\n]*: (?:\x1b\[\S*?m)?error: (?:no such file|the file is|not an image|damaged or |cannot |is a )",
    rb"\A\[?\s*\{\"path\": ",
    rb"\A\[\]\s*\Z",
    rb"\A(?:path,label,index,confidence|section,row,figure,value)",
    rb"\A[^\n]+ on [\d,]+ [^\n]+\naccuracy ",
    rb"\A\{\s*\"title\": [^\n]+,\s*\"(?:images|accuracy)\"",
)
MARKS: Final[dict[str, tuple[bytes, ...]]] = {
    ".onnx": (rb"\A\x08.\x12\x0bfmnist-edge",),  # producer_name
    ".ort": (rb"fmnist-edge",),
    ".keras": (rb"training\.json",),  # a member of the archive: the record of the training
    ".png": (rb"tEXtSoftware\x00fmnist-edge",),
    ".svg": (rb"<dc:title>fmnist-edge",),
    ".pdf": (rb"/Creator \(fmnist-edge",),
    ".html": (rb"<meta name=\"generator\" content=\"fmnist-edge",),
    ".md": (rb"\A(?:<!-- |# )fmnist-edge", rb"\A# [^\n]+\n.*\n- file: `[^\n]+SHA-256"),  # a report, a model card
    ".json": (rb"\"fmnist-edge\": \"\d", rb"\A\{\s*\"(?:schema_version|images)\": ", rb"\"model_sha256\": ", *_ROWS),
}
"""By file ending, regular expressions of which one is found in the first or last 64 KB; `_ROWS` for other endings."""


def overwrite_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add --overwrite, for a command that calls `check_outputs` or `check_output_folder`."""
    help_text = "Replace files that this tool did not write."
    return click.option("--overwrite", is_flag=True, help=help_text)(function)


def is_ours(path: Path) -> bool:
    """Tell whether this tool wrote a file: one of our marks is in it. An empty file has nothing to lose."""
    try:
        with path.open("rb") as file:
            head = file.read(_PIECE)
            file.seek(max(0, os.fstat(file.fileno()).st_size - _PIECE))
            tail = file.read(_PIECE)
    except OSError:
        return False
    marks = MARKS.get(path.suffix.lower(), _ROWS)
    return not head or any(re.search(mark, piece, re.DOTALL) for mark in marks for piece in (head, tail))


def check_outputs(
    outputs: Iterable[Path | None],
    inputs: Iterable[str | os.PathLike[str] | None] = (),
    *,
    overwrite: bool = False,
    ours: Ours = is_ours,
) -> None:
    """Raise UsageError if writing `outputs` (files) would cost the user anything; nothing is read but their marks.

    `inputs` are the files that the command reads, and folders all of whose files it reads. An output must not be one of
    them, by whatever link, nor lie in one of these folders. An existing file needs `ours(path)`, or `overwrite`.
    None is an option that was not given. Where there is an output, what the command prints besides may go
    nowhere: a closed standard output is no error then.
    """
    read, written = [Path(path) for path in inputs if path is not None], [path for path in outputs if path is not None]
    if written:
        allow_closed_output()
    for output in written:
        if os.path.exists(output) and not output.is_file() and not output.is_dir():
            continue  # a device or a pipe, such as /dev/null: writing to it replaces nothing
        refuse_input(output, read)
        if os.path.exists(output) and not output.is_dir() and not overwrite and not ours(output):
            raise UsageError(f"{output} was not written by this tool; name another place, or add --overwrite")


def check_output_folder(folder: Path, inputs: Iterable[str | os.PathLike[str]], *, overwrite: bool) -> None:
    """Do as `check_outputs` for a folder into which files are written whose names are not known yet.

    No input may lie directly in it, and every file that does must be ours (unless `overwrite`).
    """
    read = [Path(path) for path in inputs]
    refuse_input(folder, read)
    target = Path(os.path.realpath(folder))
    for path in read:
        if not os.path.isdir(path) and Path(os.path.realpath(path)).parent == target:
            raise UsageError(f"{path} lies in {folder}, where results would be written; name another folder for them")
    files = [path for path in folder.iterdir() if not path.is_dir()] if os.path.isdir(folder) else []
    foreign = next((path for path in files if not overwrite and not is_ours(path)), None)
    if foreign is not None:
        others = f"files that this tool did not write ({foreign.name})"
        raise UsageError(f"{folder} has {others}; name another folder, or add --overwrite")


def refuse_input(output: Path, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Raise UsageError if a path is one of the inputs, by whatever link, or lies in a folder among them."""
    target = Path(os.path.realpath(output))
    for path in map(Path, inputs):
        if _same(output, path):
            raise UsageError(f"{output} is read by this command, so it is not written; name another place")
        if os.path.isdir(path) and target.is_relative_to(os.path.realpath(path)):
            raise UsageError(f"{output} lies in {path}, which is read; name a place outside it")


def _same(one: Path, other: Path) -> bool:
    """Tell whether two paths are the same file: the same path once resolved, or links to the same content."""
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return os.path.realpath(one) == os.path.realpath(other)


def allow_closed_output() -> None:
    """Let what is printed go nowhere if standard output is closed, for a command whose results are files."""
    try:
        os.write(sys.stdout.fileno(), b"")
    except OSError as error:  # or no file of the system, in a test
        if error.errno == errno.EBADF:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
