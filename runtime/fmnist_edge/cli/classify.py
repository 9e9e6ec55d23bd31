"""`fmnist-edge classify`: images in, labels out, one row each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fmnist_edge.cli.options import (
    common_options,
    is_debugging,
    is_verbose,
    min_confidence_option,
    model_option,
    note,
    output_file_option,
    route_option,
    shows_progress,
    threads_option,
    wanted_color,
)
from fmnist_edge.errors import EXIT_FAILED

if TYPE_CHECKING:
    from fmnist_edge.bulk.result import Result
    from fmnist_edge.bulk.streaming import OnAnswer
    from fmnist_edge.classifier import Route
    from fmnist_edge.cli.output_rows import Show


@click.command("classify")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("-r", "--recursive", is_flag=True, help="Classify every file in the folders given, too.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "jsonl", "csv"]),
    default="text",
    show_default=True,
    help="Form of the output; jsonl is one JSON object a line.",
)
@click.option(
    "--top-k",
    type=click.IntRange(1, 10),
    metavar="N",
    help="Show the N best classes.  [default: 1 in text, 3 in the other forms]",
)
@min_confidence_option
@route_option
@click.option(
    "--save-input",
    "explanations",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw for each image what the network saw and answered, as a PNG file in DIR.",
)
@click.option("--show", is_flag=True, help="Print what the network saw above each answer; text only.")
@model_option
@threads_option
@output_file_option
@common_options
@click.pass_context
def command(
    ctx: click.Context,
    inputs: tuple[str, ...],
    recursive: bool,
    output_format: str,
    top_k: int | None,
    min_confidence: float | None,
    route: Route,
    explanations: Path | None,
    show: bool,
    model: Path | None,
    threads: int,
    output: Path | None,
) -> None:
    """Classify images of clothes: image files, folders (with -r), or - for an image on standard input.

    Prints a row for each, in the order given. An input that cannot be classified gets an error row, the others go
    on, and the exit code is 1.
    """
    _check(inputs, recursive)
    if show and output_format != "text":
        raise click.UsageError("--show goes with --format text: the other forms are for machines.")
    from fmnist_edge.bulk.streaming import classify_all
    from fmnist_edge.classifier import Classifier
    from fmnist_edge.cli.output_rows import ROWS, RowOptions

    tally = _Tally(debug=is_debugging(ctx))
    classifier = Classifier(model, threads=threads, route=route)
    saver = _saver(explanations, min_confidence) if explanations else None
    results = tally.count(classify_all(classifier, inputs, recursive=recursive, on_answer=saver))
    with _progress(results, output, None if recursive else len(inputs)) as watched:
        _write(ROWS[output_format](watched, RowOptions(top_k, min_confidence, _show(show, output))), output)
    _sum_up(tally)
    if tally.failed:
        ctx.exit(EXIT_FAILED)


def _show(wanted: bool, output: Path | None) -> Show | None:
    """Choose blocks of colour for a terminal, plain characters elsewhere."""
    if not wanted:
        return None
    colour = wanted_color()
    return "blocks" if output is None and (sys.stdout.isatty() if colour is None else colour) else "plain"


def _check(inputs: tuple[str, ...], recursive: bool) -> None:
    """Refuse what contradicts itself or can have no effect."""
    if inputs.count("-") > 1:
        raise click.UsageError("Standard input (-) can be read only once.")
    if recursive and all(_is_no_folder(path) for path in inputs):
        raise click.UsageError("-r has no effect: none of the inputs is a folder.")


def _saver(folder: Path, min_confidence: float | None) -> OnAnswer:
    """Return what draws the explanation of an answer into a folder: shirt.png, shirt-2.png, ..."""
    from fmnist_edge.bulk.explanation import ExplanationFolder

    return ExplanationFolder(folder, min_confidence).save


def _is_no_folder(path: str) -> bool:
    return path == "-" or (Path(path).exists() and not Path(path).is_dir())


@dataclass
class _Tally:
    """Counts results as they pass."""

    debug: bool
    classified: int = 0
    failed: int = 0

    def count(self, results: Iterable[Result]) -> Iterator[Result]:
        for result in results:
            if result.error is None:
                self.classified += 1
            else:
                self.failed += 1
                self._trace(result.error)
            yield result

    def _trace(self, error: BaseException) -> None:
        if self.debug:
            import traceback

            traceback.print_exception(error, file=sys.stderr)


def _progress(results: Iterator[Result], output: Path | None, length: int | None) -> Any:
    """Show a bar on standard error where a person watches it, and where no rows run through the same terminal."""
    if shows_progress() and (output or not sys.stdout.isatty()):
        return click.progressbar(results, length=length, label="Classifying", show_pos=True, file=sys.stderr)
    return nullcontext(results)


def _write(rows: Iterable[str], output: Path | None) -> None:
    """Write the rows as they come: to standard output, or to a file that appears when it is whole."""
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that know less than Unicode
        for row in rows:
            click.echo(row, nl=False)
        return
    from fmnist_edge.atomic import atomic_writer  # not above: it would cost every start some milliseconds

    with atomic_writer(output) as file:
        for row in rows:
            file.write(click.unstyle(row).encode("utf-8"))


def _sum_up(tally: _Tally) -> None:
    total = tally.classified + tally.failed
    if not total:
        note("No files found.")
    elif is_verbose() or (tally.failed and total > 1):
        note(f"{total} inputs: {tally.classified} classified, {tally.failed} failed.")
