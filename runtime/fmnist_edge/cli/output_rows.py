"""The forms in which `classify` prints its results: each turns a stream of results into pieces of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import click

from fmnist_edge.bulk.printable import printable
from fmnist_edge.bulk.result import DEFAULT_TOP_K, Result, shown_label
from fmnist_edge.bulk.table import FIELDS, table_row
from fmnist_edge.classifier import Prediction
from fmnist_edge.contract import UNSURE

Show = Literal["blocks", "plain"]


@dataclass(frozen=True)
class RowOptions:
    """What the rows show."""

    top_k: int | None = None
    """How many classes; None is 1 in text and DEFAULT_TOP_K in the other forms."""
    min_confidence: float | None = None
    """Below it the label is `unsure`; None takes each prediction's own threshold."""
    show: Show | None = None
    """How text prints what the network saw above each answer; None does not."""

    def record(self, result: Result) -> dict[str, Any]:
        """Return a result as plain values."""
        return result.as_record(top_k=self.top_k or DEFAULT_TOP_K, min_confidence=self.min_confidence)


def text_rows(results: Iterable[Result], options: RowOptions) -> Iterator[str]:
    """Yield a line for people: `shirt.png: Shirt (87.3 %)`. Errors stand in their place among the answers."""
    for result in results:
        if result.prediction is None:
            answer = click.style(f"error: {printable(str(result.error))}", fg="red")
        else:
            answer = _answer(result.prediction, options)
        yield f"{_shown(result, options.show)}{printable(result.path)}: {answer}\n"


def _shown(result: Result, show: Show | None) -> str:
    """Return the lines of the image that the network saw, or nothing."""
    if show is None or result.prediction is None or result.prediction.image is None:
        return ""
    from fmnist_edge.cli.terminal_image import blocks, plain

    return (blocks if show == "blocks" else plain)(result.prediction.image.tolist())


def _answer(prediction: Prediction, options: RowOptions) -> str:
    """Return `Shirt (87.3 %)`, or the best few, or `unsure (43.2 %)`, or `unsure: Shirt (43.2 %), ...`."""
    shares = [
        f"{prediction.labels[index]} ({100 * probability:.1f} %)"
        for index, probability in prediction.top(options.top_k or 1)
    ]
    best, rest = shares[0], "".join(f", {share}" for share in shares[1:])
    if shown_label(prediction, options.min_confidence) != UNSURE:
        return click.style(best, bold=True) + rest
    unsure = click.style(UNSURE, fg="yellow")
    return f"{unsure}: {best}{rest}" if rest else f"{unsure} ({100 * prediction.confidence:.1f} %)"


def jsonl_rows(results: Iterable[Result], options: RowOptions) -> Iterator[str]:
    """Yield an object a line, in ASCII."""
    import json

    for result in results:
        yield json.dumps(options.record(result)) + "\n"


def json_rows(results: Iterable[Result], options: RowOptions) -> Iterator[str]:
    """Yield one list of objects, an object a line."""
    before = "[\n"
    for row in jsonl_rows(results, options):
        yield before + row.rstrip("\n")
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def csv_rows(results: Iterable[Result], options: RowOptions) -> Iterator[str]:
    """Yield a header and a line for each result; `top` is JSON, path and message are escaped as in text."""
    yield _csv_line(FIELDS)
    top_k = options.top_k or DEFAULT_TOP_K
    for result in results:
        yield _csv_line(table_row(result, top_k=top_k, min_confidence=options.min_confidence).values())


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
