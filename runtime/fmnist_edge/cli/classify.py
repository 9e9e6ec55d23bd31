"""`fmnist-edge classify`: images in, labels out, one row each."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fmnist_edge.cli.options import (
    FOLDER,
    OUTPUT_FILE,
    check_output_folder,
    check_outputs,
    chosen_form,
    common_options,
    format_option,
    max_pixels_option,
    min_confidence_option,
    model_option,
    note,
    output_file_option,
    overwrite_option,
    refuse_input,
    route_option,
    threads_option,
    wanted_color,
)
from fmnist_edge.errors import EXIT_FAILED, printable

if TYPE_CHECKING:
    from fmnist_edge.batch import Input, OnAnswer, Result
    from fmnist_edge.classifier import Classifier, Prediction, Route
    from fmnist_edge.cli.output import RowOptions, Tally

STANDARD_INPUT: Final = "-"
FORMS: Final = ("text", "json", "jsonl", "csv")


@click.command("classify")
@click.argument("inputs", nargs=-1, type=click.Path(readable=False), metavar="FILE...")
@click.option("-r", "--recursive", is_flag=True, help="Classify the pictures in the folders given.")
@click.option(
    "--files-from",
    metavar="LIST",
    help="Also classify the files named in LIST, one per line; - reads the list from standard input.",
)
@click.option("-0", "--null", is_flag=True, help="Paths in LIST end with a zero byte, as from `find -print0`.")
@click.option(
    "--watch",
    "watched",
    type=click.Path(path_type=Path, readable=False, file_okay=False, exists=True),
    metavar="DIR",
    help="Classify the files in DIR and those dropped into it, each when complete; until Ctrl-C.",
)
@click.option(
    "--state",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Remember in FILE what --watch has done, so that the next run continues there.",
)
@click.option(
    "--settle",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="With --watch, how long a file must stay unchanged.  [default: 1]",
)
@format_option(*FORMS, help_text="Output format; jsonl is one JSON object per line.")
@click.option(
    "--top-k",
    type=click.IntRange(1, 10),
    metavar="N",
    help="Show the N best classes.  [default: 1 in text, 3 in the other formats]",
)
@min_confidence_option
@route_option
@click.option(
    "--explain",
    "explanations",
    type=FOLDER,
    metavar="DIR",
    help="For each picture, draw what the model saw and answered as a PNG file in DIR.",
)
@click.option("--show", is_flag=True, help="Print above each answer what the dataset classifier saw; text only.")
@max_pixels_option
@model_option
@threads_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes; for many files, use one per core.",
)
@output_file_option
@overwrite_option
@common_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Name the garments in pictures. FILE is an image, a folder (with -r), or - for an image on standard input.

    Prints one row per picture, in the order given. If an input can't be classified, it gets an error row, the others
    are still classified, and the exit code is 1.
    """
    form = chosen_form(options.pop("output_format"), options["output"], *FORMS)
    request = ClassifyRequest(output_format=form, **options)
    request.check()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy's import: threads that nothing here uses
    from fmnist_edge.classifier import Classifier
    from fmnist_edge.cli.output import RowOptions, Tally, shown_as
    from fmnist_edge.image_files import MAX_PIXELS

    classifier = Classifier(
        request.model,
        threads=request.threads,
        route=request.route,
        max_pixels=request.max_pixels or MAX_PIXELS,
        unsure_below=request.min_confidence,
    )
    saver = _saver(request.explanations, classifier.max_pixels) if request.explanations else None
    rows = RowOptions(request.top_k, shown_as(request.show, request.output))
    tally = Tally()
    if request.watched is not None:
        _watch(classifier, request, request.watched, rows, tally, saver)
    else:
        _classify(classifier, request, rows, tally, saver)
    tally.sum_up()
    if tally.failed:
        ctx.exit(EXIT_FAILED)


def _classify(
    classifier: Classifier, request: ClassifyRequest, rows: RowOptions, tally: Tally, saver: OnAnswer | None
) -> None:
    from fmnist_edge.cli.output import ROWS, with_progress, write_rows

    results = tally.count(_results(classifier, request, tally, saver))
    with with_progress(results, request.output, request.count()) as watched:
        write_rows(ROWS[request.output_format](watched, rows), request.output)


def _results(
    classifier: Classifier, request: ClassifyRequest, tally: Tally, saver: OnAnswer | None
) -> Iterator[Result]:
    from fmnist_edge.batch import classify_all, listed_paths

    # Those named, then those of the list, which is read as they are asked for.
    listed: Iterable[Input] = () if request.files_from is None else listed_paths(request.files_from, null=request.null)
    paths: Iterable[Input] = chain(request.inputs, listed)
    recursive, skip = request.recursive, tally.skip
    if request.workers > 1:
        from fmnist_edge.workers import classify_with_workers

        return classify_with_workers(classifier, paths, request.workers, recursive=recursive, on_skip=skip)
    return classify_all(classifier, paths, recursive=recursive, on_skip=skip, on_answer=saver)


def _saver(folder: Path, max_pixels: int) -> OnAnswer:
    """Return a function that draws explanations into a folder: shirt.explained.png, shirt-2.explained.png, ..."""
    from fmnist_edge.atomic import write_atomically
    from fmnist_edge.explain import explanation

    counts: dict[str, int] = {}

    def save(path: str, data: bytes, prediction: Prediction) -> None:
        stem = "standard-input" if path == STANDARD_INPUT else Path(path).stem
        counts[stem] = counts.get(stem, 0) + 1
        name = stem if counts[stem] == 1 else f"{stem}-{counts[stem]}"
        write_atomically(folder / f"{name}.explained.png", explanation(data, prediction, max_pixels=max_pixels))

    return save


@dataclass(frozen=True)
class ClassifyRequest:
    """The options of `classify`, as its --help lists them."""

    inputs: tuple[str, ...]
    files_from: str | None
    null: bool
    recursive: bool
    watched: Path | None
    state: Path | None
    settle: float | None
    output_format: str
    top_k: int | None
    min_confidence: float | None
    route: Route
    explanations: Path | None
    show: bool
    max_pixels: int | None
    model: Path | None
    threads: int
    workers: int
    output: Path | None
    overwrite: bool

    def check(self) -> None:
        """Raise UsageError for what contradicts itself or can have no effect, or if an output is not ours to write."""
        for is_wrong, message in self._conflicts():
            if is_wrong:
                raise click.UsageError(message)
        if self.watched is not None:
            self._check_redirection()
        self._check_outputs()

    def count(self) -> int | None:
        """Return how many inputs there are, or None if that turns out as they come."""
        return None if self.recursive or self.files_from is not None else len(self.inputs)

    def _conflicts(self) -> Iterator[tuple[object, str]]:
        """Yield (whether it is wrong, what to say) for each combination that is refused."""
        yield (
            self.show and self.output_format != "text",
            "--show goes with --format text: the others are for machines.",
        )
        listed, several = self.files_from is not None, self.workers > 1
        yield self.null and not listed, "--null goes with --files-from: it says how the paths in that list end."
        yield self.overwrite and not (self.output or self.explanations), "--overwrite goes with --output and --explain."
        if self.watched is not None:
            yield self.inputs or listed, "--watch classifies what is dropped into its folder; name no other inputs."
            yield self.output, "--watch never ends, so --output would never appear; append with `>> FILE` instead."
            yield self.output_format == "json", "--watch never ends, and neither would a list; take --format jsonl."
            yield several, "--workers has no effect with --watch."
            return
        yield self.state or self.settle is not None, "--state and --settle go with --watch."
        yield not self.inputs and not listed, "Missing argument 'FILE...'."
        inputs = [*self.inputs, self.files_from]
        yield inputs.count(STANDARD_INPUT) > 1, "Standard input (-) can be read only once."
        no_folder = self.recursive and not listed and all(map(_is_no_folder, self.inputs))
        yield no_folder, "-r has no effect: none of the inputs is a folder."
        yield several and self.count() == 1, "--workers has no effect: there is one input only."
        yield several and self.explanations, "--explain draws in one process: leave --workers out."

    def _check_redirection(self) -> None:
        """Raise UsageError if standard output is a file in the watched folder: every row would be a change there."""
        from fmnist_edge.batch import walk

        rows = os.fstat(sys.stdout.fileno())
        for found in walk(str(self.watched), deep=self.recursive) if stat.S_ISREG(rows.st_mode) else ():
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(found.path), rows):  # noqa: PTH116
                    raise click.UsageError(
                        f"{found.path} is in the watched folder: append the rows to a file outside it."
                    )

    def _check_outputs(self) -> None:
        """Raise UsageError, before anything is read, if an output is an input or a file that is not ours."""
        lists = [path for path in (self.files_from, self.model) if path not in (None, STANDARD_INPUT)]
        named = [path for path in self.inputs if path != STANDARD_INPUT and (self.recursive or not os.path.isdir(path))]
        read = [*named, *lists, *([self.watched] if self.watched else [])]
        check_outputs([self.output], [*read, self.state], overwrite=self.overwrite)
        if self.state is not None:
            refuse_input(self.state, read)  # whether it is a state, the journal checks
        if self.explanations is not None:
            # Nobody knows yet what a list names: no picture in the folder may be lost.
            check_output_folder(self.explanations, read, overwrite=self.overwrite and self.files_from is None)


def _is_no_folder(path: str) -> bool:
    return path == STANDARD_INPUT or (os.path.exists(path) and not os.path.isdir(path))


def _watch(
    classifier: Classifier,
    request: ClassifyRequest,
    folder: Path,
    rows: RowOptions,
    tally: Tally,
    saver: OnAnswer | None,
) -> None:
    """Print a row for each file that appears in a folder, until Ctrl-C or SIGTERM. Raises OutputError."""
    from fmnist_edge.cli.output import ROWS
    from fmnist_edge.journal import Journal, Output
    from fmnist_edge.watch import SETTLE, Interruption, Listener, Watch, watch

    wanted, is_csv = wanted_color(), request.output_format == "csv"
    is_coloured = sys.stdout.isatty() if wanted is None else wanted

    def text(results: list[Result]) -> str:
        written = "".join(ROWS[request.output_format](results, rows))
        return written if is_coloured else click.unstyle(written)

    def without_header(results: list[Result]) -> str:
        return text(results).partition("\n")[2] if is_csv else text(results)

    output = Output(sys.stdout.fileno(), sys.stdout.encoding)
    how = Watch(folder, request.recursive, SETTLE if request.settle is None else request.settle)
    with Interruption() as interruption, Journal(request.state, folder, output) as journal:
        if is_csv and output.place()[1] == 0:  # not in a file that has rows already
            output.write(output.encoded(text([])))
        try:
            watch(classifier, how, journal, interruption, Listener(without_header, tally.add, _tell, saver))
        except KeyboardInterrupt:
            note("")  # after the ^C of a terminal


def _tell(problem: str) -> None:
    note(f"Warning: {printable(problem)}; waiting" if problem else "the folder is there again")
