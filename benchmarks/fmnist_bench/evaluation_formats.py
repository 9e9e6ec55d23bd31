"""Formatters of an evaluation: text for people, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import click

from fmnist_bench.evaluate import BINS, Evaluation, Share
from fmnist_edge.errors import printable

GOOD: Final = 0.9  # shares from here on are green on a terminal
POOR: Final = 0.75  # shares below are red
MOST_NAME: Final = 28  # characters of a name in a table
MOST_SOURCE: Final = 44
SOURCE_COLUMNS: Final = "garments      right  by kind   answered  of these right  no garment: unsure"

Row = tuple[str, str, str, Any]


def as_text(evaluation: Evaluation, title: str) -> str:
    """Return tables for people, with colour where the terminal has it."""
    parts = [
        _headline(evaluation, title),
        *([_source_table(evaluation)] if evaluation.sources else []),
        _class_table(evaluation),
        *([_group_table(evaluation)] if evaluation.by_folder else []),
        _confusion_table(evaluation),
        _coverage_table(evaluation),
    ]
    return "\n\n".join(parts) + "\n"


def as_json(evaluation: Evaluation, title: str) -> str:
    """Return one JSON object, ASCII."""
    return json.dumps({"title": title, **evaluation.as_record()}, indent=1) + "\n"


def as_csv(evaluation: Evaluation, title: str) -> str:
    """Return a line for each figure: section, row, figure, value; no value is an empty field."""
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
        f"calibration error  {_percent(evaluation.expected_calibration_error)}  (expected, {BINS} bins)",
    ]
    lines += [f"taken as one       {', '.join(group)}" for group in evaluation.forgiven]
    if evaluation.unreadable:
        lines.append(click.style(f"unreadable         {evaluation.unreadable} images, not counted", fg="red"))
    return "\n".join(lines)


def _interval(share: Share) -> str:
    return (
        f"{_percent(share.share)}  ({share.count:,} of {share.total:,}; "
        f"95 % interval {100 * share.low:.2f} to {100 * share.high:.2f} %)"
    )


def _source_table(evaluation: Evaluation) -> str:
    width = max(len(_shown(one.name)) for one in evaluation.sources)
    lines = [_head(f"{'pictures':{width}}  {SOURCE_COLUMNS}")]
    for one in evaluation.sources:
        nothing, answered = one.no_garment_unsure, _percent(one.answered.share)
        shares = f"{_coloured(one.right.share)}  {_plain(one.mean_of_kinds):>7}  {answered}"
        lines.append(
            f"{_shown(one.name):{width}}  {one.right.total:8,}  {shares}"
            f"       {_coloured(one.right_of_answered.share)}  {_percent(nothing.share)} of {nothing.total:,}"
        )
    return "\n".join(lines)


def _shown(name: str) -> str:
    return printable(name)[:MOST_SOURCE]


def _plain(share: float | None) -> str:
    return f"{100 * share:.2f}" if share is not None else "-"


def _class_table(evaluation: Evaluation) -> str:
    width = _width([one.name for one in evaluation.classes])
    lines = [_head(f"{'class':{width}}  images  predicted  precision    recall        F1")]
    for one in evaluation.classes:
        shares = "  ".join(_coloured(share) for share in (one.precision, one.recall, one.f1))
        lines.append(f"{_name(one.name, width)}  {one.images:6,}  {one.predicted:9,}  {shares:>9}")
    return "\n".join(lines)


def _group_table(evaluation: Evaluation) -> str:
    width = _width([group.name for group in evaluation.groups])
    lines = [_head(f"{'folder':{width}}  images   right      share   95 % interval  unreadable  right labels")]
    for group in evaluation.groups:
        share = group.right
        interval = f"{100 * share.low:5.1f} to {100 * share.high:5.1f}"
        lines.append(
            f"{_name(group.name, width)}  {share.total:6,}  {share.count:6,}  {_coloured(share.share)}  {interval:>14}"
            f"  {group.unreadable:10,}  {', '.join(group.accepted)}"
        )
    return "\n".join(lines)


def _confusion_table(evaluation: Evaluation) -> str:
    width = _width([group.name for group in evaluation.groups])
    columns = [_short(label) for label in evaluation.labels]
    lines = [_head("Confusion: rows are the truth, columns the predicted label")]
    lines.append(" " * width + "".join(f"  {column:>6}" for column in columns))
    for group in evaluation.groups:
        cells = zip(evaluation.labels, columns, group.predicted, strict=True)
        row = "".join(
            f"  {_cell(count, max(6, len(column)), label in group.accepted)}" for label, column, count in cells
        )
        lines.append(f"{_name(group.name, width)}{row}")
    return "\n".join(lines)


def _short(label: str) -> str:
    """Return the one word of a label that tells it from the others: T-shirt, Boot."""
    return label.partition("/")[0].split()[-1].capitalize()


def _cell(count: int, width: int, right: bool) -> str:
    text = f"{count or '.':>{width}}"
    return click.style(text, bold=right, fg="blue" if right else None, dim=not right and not count)


def _coverage_table(evaluation: Evaluation) -> str:
    lines = [_head("Without the unsure: images kept by --min-confidence, and their accuracy")]
    lines.append("    kept  min-confidence   accuracy   95 % interval")
    for row in evaluation.coverages:
        interval = f"{100 * row.right.low:5.1f} to {100 * row.right.high:5.1f}"
        accuracy = _coloured(row.right.share)
        lines.append(f"{100 * row.coverage:6.1f} %  {row.min_confidence:14.4f}  {accuracy}  {interval:>14}")
    return "\n".join(lines)


def _head(text: str) -> str:
    return click.style(text, bold=True)


def _width(names: Sequence[str]) -> int:
    return max(6, *(min(len(printable(name)), MOST_NAME) for name in names))


def _name(name: str, width: int) -> str:
    return f"{printable(name)[:width]:{width}}"


def _percent(share: float | None) -> str:
    return f"{100 * share:7.2f} %" if share is not None else "        -"


def _coloured(share: float | None) -> str:
    if share is None:
        return _percent(None)
    return click.style(_percent(share), fg="green" if share >= GOOD else "red" if share < POOR else None)


def _rows(evaluation: Evaluation) -> Iterator[Row]:
    """Yield (section, row, figure, value) for all figures."""
    record = evaluation.as_record()
    for name in ("accuracy", "top_2", "expected_calibration_error", "unreadable"):
        yield from _figures("overall", "", {name: record[name]})
    for section in ("sources", "classes", "groups", "bins", "coverages"):
        for index, row in enumerate(record[section]):
            name = row.pop("name", str(index))
            yield from _figures(section, name, row)
            if section == "groups":
                yield from (
                    ("confusion", name, label, count)
                    for label, count in zip(record["labels"], row["predicted"], strict=True)
                )


def _figures(section: str, name: str, row: dict[str, Any]) -> Iterator[Row]:
    """Yield a line for each value; nested ones as `accuracy`, `accuracy_low` and so on; counts by label not here."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from ((section, name, f"{key}_{part}".removesuffix("_share"), v) for part, v in value.items())
        elif key == "accepted":
            yield section, name, key, "|".join(value)
        elif not isinstance(value, list):
            yield section, name, key, value
