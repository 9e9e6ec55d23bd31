"""The table of the matrix: Markdown for people, JSON for programs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from fmnist_bench.devices.result import Result
from fmnist_bench.devices.x86 import cpu_name
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, read_side_json

TOOLS: Final = ("onnxruntime", "numpy", "onnx")
HEAD: Final = (
    "device",
    "had by",
    "runtime",
    "images",
    "labels different",
    "max \\|dp\\|",
    "photos",
    "labels different",
    "pixels different",
    "max \\|dp\\|",
    "ms an image",
    "ms a photo",
    "verdict",
)
RIGHT: Final = range(3, 12)  # columns of numbers


def facts(results: Sequence[Result], cpu: str | None = None) -> dict[str, Any]:
    """Return the whole matrix as JSON values: the machine, the models, and each row."""
    return {
        "machine": cpu or cpu_name(),
        "tools": {tool: version(tool) for tool in TOOLS},
        "models": [_model(path) for path in (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL)],
        "rows": [result.as_facts() for result in results],
    }


def _model(path: Any) -> dict[str, str]:
    stated = read_side_json(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": stated["name"], "version": stated["version"], "sha256": digest}


def markdown(matrix: dict[str, Any]) -> str:
    """Return the tables of the matrix, from its JSON values."""
    lines = [_line(HEAD), _line(["---:" if place in RIGHT else "---" for place in range(len(HEAD))])]
    lines += [_line(_cells(row)) for row in matrix["rows"]]
    return "\n".join([*lines, "", *_faults(matrix["rows"]), *_reasons(matrix["rows"])]) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    name = f"{row['device']} ({row['examples']})"
    if row["classifier"] is None:
        return [name, row["how"] or "-", *["-"] * (len(HEAD) - 3), row["status"]]
    classifier, photos = row["classifier"], row["photos"]
    return [
        name,
        row["how"],
        f"{row['runtime']}, {row['host']}",
        f"{classifier['images']:,}",
        f"{classifier['labels']}",
        _difference(classifier["probability"]),
        f"{photos['photos']}",
        f"{photos['labels']}",
        f"{photos['unequal_pixels']:,}",
        _difference(photos["probability"]),
        _time(row["milliseconds"].get("classifier"), 4),
        _time(row["milliseconds"].get("photo"), 1),
        row["status"],
    ]


def _difference(value: float) -> str:
    return f"{value:.1g}" if value else "0"


def _time(milliseconds: float | None, places: int) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.{places}f}"


def _faults(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table of the planted faults."""
    lines = [
        "| planted fault | device | images | hidden layers different | labels different | max \\|dp\\| | verdict |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        if (fault := row["fault"]) is not None:
            found, verdict = fault["difference"], "caught" if fault["caught"] else "NOT CAUGHT"
            numbers = [f"{found[name]:,}" for name in ("images", "hidden", "labels")]
            lines.append(_line([fault["model"], row["device"], *numbers, f"{found['probability']:.3f}", verdict]))
    return lines if len(lines) > 2 else []


def _reasons(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line for each reason why a row failed or was not run."""
    lines = [f"- {row['device']}, {row['status']}: {reason}" for row in rows for reason in row["reasons"]]
    return ["", *lines] if lines else []


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
