"""`fmnist-edge classify --watch`: rows for what is dropped into a folder, until Ctrl-C."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fmnist_edge.bulk.printable import printable
from fmnist_edge.cli.classify_printing import Tally
from fmnist_edge.cli.options import note, wanted_color

if TYPE_CHECKING:
    from fmnist_edge.bulk.result import Result
    from fmnist_edge.bulk.streaming import OnAnswer
    from fmnist_edge.bulk.watch_journal import Output
    from fmnist_edge.classifier import Classifier
    from fmnist_edge.cli.classify_request import ClassifyRequest
    from fmnist_edge.cli.output_rows import RowOptions


def watch_folder(
    classifier: Classifier,
    request: ClassifyRequest,
    folder: Path,
    options: RowOptions,
    tally: Tally,
    saver: OnAnswer | None,
) -> None:
    """Print a row for each file that appears in a folder, until Ctrl-C or SIGTERM. Raises OutputError."""
    from fmnist_edge.bulk.interruption import Interruption
    from fmnist_edge.bulk.watch_journal import Journal, Output
    from fmnist_edge.bulk.watching import SETTLE, Listener, Watch, watch

    output = Output(sys.stdout.fileno(), sys.stdout.encoding)
    how = Watch(folder, request.recursive, SETTLE if request.settle is None else request.settle)
    with Interruption() as interruption, Journal(request.state, folder, output) as journal:
        if request.output_format == "csv" and _wants_header(output):
            output.write(output.encoded(_text(request, options, [])))
        try:
            listener = Listener(lambda results: _rows(request, options, results), tally.add, _tell, saver)
            watch(classifier, how, journal, interruption, listener)
        except KeyboardInterrupt:
            note("")  # behind the ^C of a terminal


def _wants_header(output: Output) -> bool:
    """Tell whether a table begins here: not in a file that has rows already."""
    place = output.place()
    return place is None or place[2] == 0


def _rows(request: ClassifyRequest, options: RowOptions, results: list[Result]) -> str:
    text = _text(request, options, results)
    return text.partition("\n")[2] if request.output_format == "csv" else text


def _text(request: ClassifyRequest, options: RowOptions, results: list[Result]) -> str:
    from fmnist_edge.cli.output_rows import ROWS

    text = "".join(ROWS[request.output_format](results, options))
    wanted = wanted_color()
    return text if (sys.stdout.isatty() if wanted is None else wanted) else click.unstyle(text)


def _tell(problem: str) -> None:
    note(f"Warning: {printable(problem)}; waiting" if problem else "the folder is there again")
