"""`fmnist-edge classify`: images in, labels out, one row each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fmnist_edge.cli.classify_printing import Tally, shown_as, with_progress, write_rows
from fmnist_edge.cli.classify_request import ClassifyRequest
from fmnist_edge.cli.options import (
    common_options,
    is_debugging,
    max_pixels_option,
    min_confidence_option,
    model_option,
    output_file_option,
    route_option,
    threads_option,
)
from fmnist_edge.cli.outputs import overwrite_option
from fmnist_edge.errors import EXIT_FAILED

if TYPE_CHECKING:
    from fmnist_edge.bulk.result import Result
    from fmnist_edge.bulk.streaming import OnAnswer
    from fmnist_edge.classifier import Classifier
    from fmnist_edge.cli.output_rows import RowOptions


@click.command("classify")
@click.argument("inputs", nargs=-1, type=click.Path(), metavar="FILE...")
@click.option("-r", "--recursive", is_flag=True, help="Classify every file in the folders given, too.")
@click.option(
    "--files-from",
    metavar="LIST",
    help="Classify the files that LIST names, one a line, too; - reads the list from standard input.",
)
@click.option("-0", "--null", is_flag=True, help="The paths in LIST end with a zero byte, as of `find -print0`.")
@click.option(
    "--watch",
    "watched",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Classify what is in DIR, and what is dropped into it, when it is completely written; until Ctrl-C.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Remember in FILE what --watch has done, so that the next start goes on there.",
)
@click.option(
    "--settle",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="For --watch, how long a file must not have changed.  [default: 1]",
)
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
    "--explain",
    "explanations",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw for each image what the network saw and answered, as a PNG file in DIR.",
)
@click.option("--show", is_flag=True, help="Print what the network saw above each answer; text only.")
@max_pixels_option
@model_option
@threads_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes; for many files, as many as the machine has cores.",
)
@output_file_option
@overwrite_option
@common_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Classify images of clothes: image files, folders (with -r), or - for an image on standard input.

    Prints a row for each, in the order given. An input that cannot be classified gets an error row, the others go
    on, and the exit code is 1.
    """
    request = ClassifyRequest(**options)
    request.check()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy's import: threads that nothing here uses
    from fmnist_edge.classifier import Classifier
    from fmnist_edge.cli.output_rows import RowOptions
    from fmnist_edge.image_files import MAX_PIXELS

    classifier = Classifier(
        request.model, threads=request.threads, route=request.route, max_pixels=request.max_pixels or MAX_PIXELS
    )
    saver = _saver(request.explanations, request.min_confidence) if request.explanations else None
    rows = RowOptions(request.top_k, request.min_confidence, shown_as(request.show, request.output))
    tally = Tally(debug=is_debugging(ctx))
    if request.watched is not None:
        from fmnist_edge.cli.classify_watch import watch_folder

        watch_folder(classifier, request, request.watched, rows, tally, saver)
    else:
        _classify(classifier, request, rows, tally, saver)
    tally.sum_up()
    if tally.failed:
        ctx.exit(EXIT_FAILED)


def _classify(
    classifier: Classifier, request: ClassifyRequest, rows: RowOptions, tally: Tally, saver: OnAnswer | None
) -> None:
    from fmnist_edge.cli.output_rows import ROWS

    results = tally.count(_results(classifier, request, saver))
    with with_progress(results, request.output, request.count()) as watched:
        write_rows(ROWS[request.output_format](watched, rows), request.output)


def _results(classifier: Classifier, request: ClassifyRequest, saver: OnAnswer | None) -> Iterator[Result]:
    if request.workers > 1:
        from fmnist_edge.bulk.parallel import classify_with_workers

        return classify_with_workers(classifier, request.paths(), request.workers, recursive=request.recursive)
    from fmnist_edge.bulk.streaming import classify_all

    return classify_all(classifier, request.paths(), recursive=request.recursive, on_answer=saver)


def _saver(folder: Path, min_confidence: float | None) -> OnAnswer:
    """Return what draws the explanation of an answer into a folder: shirt.png, shirt-2.png, ..."""
    from fmnist_edge.explain import ExplanationFolder

    return ExplanationFolder(folder, min_confidence).save
