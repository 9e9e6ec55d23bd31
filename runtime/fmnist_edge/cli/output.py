"""What `classify` prints: rows on standard output or in a file, everything for people on standard error."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import click

from fmnist_edge.batch import DEFAULT_TOP_K, FIELDS, Result, table_row
from fmnist_edge.classifier import Prediction
from fmnist_edge.cli.options import is_debugging, is_verbose, note, progress_bar, shows_progress, wanted_color
from fmnist_edge.errors import printable
from fmnist_edge.model_info import UNSURE

Show = Literal["blocks", "plain"]


@dataclass
class Tally:
    """Counts results as they pass, and says on standard error what their rows do not."""

    classified: int = 0
    failed: int = 0
    skipped: int = 0

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
            if is_debugging():
                import traceback

                traceback.print_exception(result.error, file=sys.stderr)
        if result.prediction and result.prediction.first_of_several:
            note(f"{printable(result.path)}: has several frames; the first one was classified")

    def skip(self, path: str) -> None:
        """Count a file of a folder that is not a picture."""
        self.skipped += 1
        if is_verbose():
            note(f"{printable(path)}: not a picture, skipped")

    def sum_up(self) -> None:
        """Say how many inputs there were, where that is not plain to see."""
        total = self.classified + self.failed
        if not total:
            note("No pictures found.")
        elif is_verbose() or (self.failed and total > 1):
            note(f"{counted(total, 'input')}: {self.classified} classified, {self.failed} failed.")
        if self.skipped:
            what = "is not a picture" if self.skipped == 1 else "are not pictures"
            note(f"Skipped {counted(self.skipped, 'file')} that {what}{'' if is_verbose() else ' (-v names them)'}.")


def counted(number: int, what: str) -> str:
    """Return `1 input` or `1,200 inputs`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def shown_as(wanted: bool, output: Path | None) -> Show | None:
    """Choose blocks of colour for a terminal, plain characters elsewhere; None without --show."""
    if not wanted:
        return None
    colour = wanted_color()
    return "blocks" if output is None and (sys.stdout.isatty() if colour is None else colour) else "plain"


@contextmanager
def with_progress(results: Iterator[Result], output: Path | None, length: int | None) -> Iterator[Iterator[Result]]:
    """Show a bar on standard error where a person watches it, and where no rows run through the same terminal."""
    if not shows_progress() or (output is None and sys.stdout.isatty()):
        yield results
        return
    with progress_bar("Classifying", length) as bar:
        yield _watched(results, bar)


def _watched(results: Iterable[Result], bar: Any) -> Iterator[Result]:
    for result in results:
        yield result
        bar.update(1)


def write_rows(rows: Iterable[str], output: Path | None) -> None:
    """Write the rows as they come: to standard output, or to a file that appears when it is whole."""
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that know less than Unicode
        for row in rows:
            click.echo(row, nl=False)
        return
    from fmnist_edge.atomic import atomic_writer  # not above: most rows go to standard output

    with atomic_writer(output) as file:
        for row in rows:
            file.write(click.unstyle(row).encode("utf-8"))


@dataclass(frozen=True)
class RowOptions:
    """What the rows show."""

    top_k: int | None = None
    """How many classes; None is 1 in text and DEFAULT_TOP_K in the other forms."""
    show: Show | None = None
    """How text prints what the network saw above each answer; None does not."""


def text_rows(results: Iterable[Result], options: RowOptions) -> Iterator[str]:
    """Yield a line for people: `shirt.png: Shirt (87.3 %)`. Errors come in their place among the answers."""
    for result in results:
        if result.prediction is None:
            answer = click.style(f"error: {printable(str(result.error))}", fg="red")
        else:
            answer = _answer(result.prediction, options)
        image = result.prediction.image if result.prediction and options.show else None
        shown = "" if image is None else (blocks if options.show == "blocks" else plain)(image.tolist())
        yield f"{shown}{printable(result.path)}: {answer}\n"


def _answer(prediction: Prediction, options: RowOptions) -> str:
    """Return `Shirt (87.3 %)`, or the best few, or `unsure (43.2 %)`, or `unsure: Shirt (43.2 %), ...`."""
    shares = [
        f"{prediction.labels[index]} ({100 * probability:.1f} %)"
        for index, probability in prediction.top(options.top_k or 1)
    ]
    best, rest = shares[0], "".join(f", {share}" for share in shares[1:])
    if not prediction.unsure:
        return click.style(best, bold=True) + rest
    unsure = click.style(UNSURE, fg="yellow")
    return f"{unsure}: {best}{rest}" if rest else f"{unsure} ({100 * prediction.confidence:.1f} %)"


def jsonl_rows(results: Iterable[Result], options: RowOptions) -> Iterator[str]:
    """Yield an object a line, in ASCII."""
    import json

    for result in results:
        yield json.dumps(result.as_record(top_k=options.top_k or DEFAULT_TOP_K)) + "\n"


def json_rows(results: Iterable[Result], options: RowOptions) -> Iterator[str]:
    """Yield one list of objects, an object a line."""
    before = "[\n"
    for row in jsonl_rows(results, options):
        yield before + row.rstrip("\n")
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def csv_rows(results: Iterable[Result], options: RowOptions) -> Iterator[str]:
    """Yield a header and a line for each result; `top` is JSON, path and message are escaped as in text.

    A cell that a spreadsheet would take for a formula gets an apostrophe in front, which makes it text
    (owasp.org/www-community/attacks/CSV_Injection).
    """
    yield _csv_line(FIELDS)
    top_k = options.top_k or DEFAULT_TOP_K
    for result in results:
        cells = table_row(result, top_k=top_k).values()
        yield _csv_line(f"'{one}" if isinstance(one, str) and re.match("[=+@-].", one) else one for one in cells)


def _csv_line(values: Iterable[object]) -> str:
    import csv
    import io

    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


ROWS: Final[dict[str, Callable[[Iterable[Result], RowOptions], Iterator[str]]]] = {
    "text": text_rows,
    "json": json_rows,
    "jsonl": jsonl_rows,
    "csv": csv_rows,
}


# Of the 256 colours of xterm (ctlseqs, "256-color"), 232..255 are a ramp of greys, and 16 and 231 black and white.
_GREYS: Final[tuple[int, ...]] = (16, *range(232, 256), 231)
_SHADES: Final = " .:-=+*#%@"  # of rising ink, for terminals without colour
_HALF: Final = "\u2580"  # the upper half block: its ink is the upper pixel, its background the lower

Pixels = Sequence[Sequence[int]]


def blocks(pixels: Pixels) -> str:
    """Return lines in which each character is two pixels, 0..255, one above the other; an even number of rows."""
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = (f"\x1b[38;5;{_grey(a)};48;5;{_grey(b)}m{_HALF}" for a, b in zip(upper, lower, strict=True))
        lines.append("".join(cells) + "\x1b[0m\n")
    return "".join(lines)


def plain(pixels: Pixels) -> str:
    """Return lines in which each character is the mean of two pixels, 0..255, one above the other."""
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        shades = (_SHADES[(a + b) * len(_SHADES) // 512] for a, b in zip(upper, lower, strict=True))
        lines.append("".join(shades).rstrip() + "\n")
    return "".join(lines)


def _grey(level: int) -> int:
    """Return the colour number of a grey level, 0..255."""
    return _GREYS[round(level * (len(_GREYS) - 1) / 255)]
