"""How `classify` tells what it found: rows on standard output or in a file, everything for people on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fmnist_edge.bulk.printable import printable
from fmnist_edge.cli.options import is_verbose, note, shows_progress, wanted_color

if TYPE_CHECKING:
    from fmnist_edge.bulk.result import Result
    from fmnist_edge.cli.output_rows import Show


@dataclass
class Tally:
    """Counts results as they pass, and says on standard error what their rows do not."""

    debug: bool
    classified: int = 0
    failed: int = 0

    def count(self, results: Iterable[Result]) -> Iterator[Result]:
        """Pass results on."""
        for result in results:
            self.add(result)
            yield result

    def add(self, result: Result) -> None:
        """Count one result."""
        if result.error is None:
            self.classified += 1
        else:
            self.failed += 1
            self._trace(result.error)
        if result.prediction and result.prediction.first_of_several:
            note(f"{printable(result.path)}: holds several frames; the first one was classified")

    def sum_up(self) -> None:
        """Say how many inputs there were, where that is not plain to see."""
        total = self.classified + self.failed
        if not total:
            note("No files found.")
        elif is_verbose() or (self.failed and total > 1):
            note(f"{total} inputs: {self.classified} classified, {self.failed} failed.")

    def _trace(self, error: BaseException) -> None:
        if self.debug:
            import traceback

            traceback.print_exception(error, file=sys.stderr)


def shown_as(wanted: bool, output: Path | None) -> Show | None:
    """Choose blocks of colour for a terminal, plain characters elsewhere; None if nobody wants to see."""
    if not wanted:
        return None
    colour = wanted_color()
    return "blocks" if output is None and (sys.stdout.isatty() if colour is None else colour) else "plain"


def with_progress(results: Iterator[Result], output: Path | None, length: int | None) -> Any:
    """Show a bar on standard error where a person watches it, and where no rows run through the same terminal."""
    if shows_progress() and (output or not sys.stdout.isatty()):
        return click.progressbar(results, length=length, label="Classifying", show_pos=True, file=sys.stderr)
    return nullcontext(results)


def write_rows(rows: Iterable[str], output: Path | None) -> None:
    """Write the rows as they come: to standard output, or to a file that appears when it is whole."""
    if output is None:
        make_printable()
        for row in rows:
            click.echo(row, nl=False)
        return
    from fmnist_edge.atomic import atomic_writer  # not above: it would cost every start some milliseconds

    with atomic_writer(output) as file:
        for row in rows:
            file.write(click.unstyle(row).encode("utf-8"))


def make_printable() -> None:
    """Have standard output escape what it cannot show, for terminals that know less than Unicode."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
