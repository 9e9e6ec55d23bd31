"""Formatters of an evaluation: text for people, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

import click

from fmnist_bench.evaluate import BINS, Evaluation, Share
from fmnist_bench.report import aligned, percent
from fmnist_edge.errors import printable

GOOD: Final = 0.9  # shares from here on are green on a terminal
POOR: Final = 0.75  # shares below are red
MOST_NAME: Final = 28  # characters of a name in a table
MOST_SOURCE: Final = 44


def as_text(evaluation: Evaluation, title: str) -> str:
    """Return tables for people, with colour if the terminal has it."""
    parts = [_headline(evaluation, title)]
    if evaluation.sources:
        parts.append(_source_table(evaluation))
    parts.append(_class_table(evaluation))
    if evaluation.by_folder:
        parts.append(_group_table(evaluation))
    parts += [_confusion_table(evaluation), _coverage_table(evaluation)]
    return "\n\n".join(parts).replace("\u00a0", " ") + "\n"


def as_json(evaluation: Evaluation, title: str) -> str:
    """Return one JSON object, ASCII."""
    return json.dumps({"title": title, **evaluation.as_record()}, indent=1) + "\n"


def as_csv(evaluation: Evaluation, title: str) -> str:
    """Return a line for each figure: section, row, figure, value; a missing value is an empty field."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("section", "row", "figure", "value"))
    writer.writerow(("overall", "", "title", title))
    writer.writerows(_rows(evaluation))
    return file.getvalue()


FORMATTERS: Final[dict[str, Callable[[Evaluation, str], str]]] = {"text": as_text, "json": as_json, "csv": as_csv}


def _headline(evaluation: Evaluation, title: str) -> str:
    lines = [
        click.style(printable(title), bold=True),
        f"accuracy           {_interval(evaluation.accuracy)}",
        f"top-2 accuracy     {_interval(evaluation.top_2)}",
        f"calibration error  {percent(evaluation.expected_calibration_error):>8}  (expected, {BINS} bins)",
    ]
    lines += [f"counted as one     {', '.join(group)}" for group in evaluation.forgiven]
    if evaluation.unreadable:
        lines.append(click.style(f"unreadable         {evaluation.unreadable} images, not counted", fg="red"))
    return "\n".join(lines)


def _interval(share: Share) -> str:
    bounds = f"95 % interval {100 * share.low:.2f} to {100 * share.high:.2f} %"
    return f"{percent(share.share):>8}  ({share.count:,} of {share.total:,}; {bounds})"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", left: Collection[int] = (0,)) -> str:
    head, *lines = aligned([columns, *rows], left)
    above = [click.style(title, bold=True), head] if title else [click.style(head, bold=True)]
    return "\n".join([*above, *lines])


def _source_table(evaluation: Evaluation) -> str:
    columns = ("pictures", "garments", "correct", "by kind", "answered", "correct of these", "no garment: unsure")
    rows = [
        (
            printable(one.name)[:MOST_SOURCE],
            f"{one.right.total:,}",
            _coloured(one.right.share),
            percent(one.mean_of_kinds),
            percent(one.answered.share),
            _coloured(one.right_of_answered.share),
            f"{percent(one.no_garment_unsure.share)} of {one.no_garment_unsure.total:,}",
        )
        for one in evaluation.sources
    ]
    return _table(columns, rows)


def _class_table(evaluation: Evaluation) -> str:
    rows = [
        (_name(one.name), f"{one.images:,}", f"{one.predicted:,}", *map(_coloured, (one.precision, one.recall, one.f1)))
        for one in evaluation.classes
    ]
    return _table(("class", "images", "predicted", "precision", "recall", "F1"), rows)


def _group_table(evaluation: Evaluation) -> str:
    rows = [
        (
            _name(group.name),
            f"{group.right.total:,}",
            f"{group.right.count:,}",
            *_accuracy(group.right),
            f"{group.unreadable:,}",
            ", ".join(group.accepted),
        )
        for group in evaluation.groups
    ]
    columns = ("folder", "images", "correct", "share", "95 % interval", "unreadable", "correct labels")
    return _table(columns, rows, left=(0, len(columns) - 1))


def _confusion_table(evaluation: Evaluation) -> str:
    columns = [label.partition("/")[0].split()[-1].capitalize() for label in evaluation.labels]  # T-shirt, Boot
    rows = [
        [
            _name(group.name),
            *(
                _cell(count, label in group.accepted)
                for label, count in zip(evaluation.labels, group.predicted, strict=True)
            ),
        ]
        for group in evaluation.groups
    ]
    return _table(["", *columns], rows, "Confusion: rows are the truth, columns the predicted label")


def _cell(count: int, right: bool) -> str:
    return click.style(f"{count or '.'}", bold=right, fg="blue" if right else None, dim=not right and not count)


def _coverage_table(evaluation: Evaluation) -> str:
    rows = [
        (percent(row.coverage, 1), f"{row.min_confidence:.4f}", *_accuracy(row.right)) for row in evaluation.coverages
    ]
    title = "Without the unsure: images kept by --min-confidence, and their accuracy"
    return _table(("kept", "min-confidence", "accuracy", "95 % interval"), rows, title, left=())


def _accuracy(share: Share) -> tuple[str, str]:
    return _coloured(share.share), f"{100 * share.low:5.1f} to {100 * share.high:5.1f}"


def _name(name: str) -> str:
    return printable(name)[:MOST_NAME]


def _coloured(share: float | None) -> str:
    colour = None if share is None else "green" if share >= GOOD else "red" if share < POOR else None
    return click.style(percent(share), fg=colour)


def _rows(evaluation: Evaluation) -> Iterator[tuple[str, str, str, Any]]:
    """Yield (section, row, figure, value) for all figures."""
    record = evaluation.as_record()
    for name in ("accuracy", "top_2", "expected_calibration_error", "unreadable"):
        yield from _figures("overall", "", {name: record[name]})
    for section in ("sources", "classes", "groups", "bins", "coverages"):
        for index, row in enumerate(record[section]):
            name = row.pop("name", str(index))
            yield from _figures(section, name, row)
            if section == "groups":
                for label, count in zip(record["labels"], row["predicted"], strict=True):
                    yield "confusion", name, label, count


def _figures(section: str, name: str, row: dict[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """Yield a line for each value, nested ones as `accuracy`, `accuracy_low` and so on; not the counts by label."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from ((section, name, f"{key}_{part}".removesuffix("_share"), v) for part, v in value.items())
        elif key == "accepted":
            yield section, name, key, "|".join(value)
        elif not isinstance(value, list):
            yield section, name, key, value
