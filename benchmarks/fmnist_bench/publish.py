"""Write measured figures into the pages of a checkout, between their marks.

python -m fmnist_bench.publish bench build/bench/bench.json       make bench-readme
python -m fmnist_bench.publish photos docs/photos.json            make photo-report
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fmnist_bench.report import (
    Results,
    backends_table,
    digits,
    markdown,
    markdown_rows,
    markdown_table,
    page,
    percent,
    read_results,
)
from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import UsageError

CHECKOUT: Final = Path(__file__).parents[2]
BENCH_MARKS: Final = ("<!-- written by `make bench-readme` -->", "<!-- to here -->")
PHOTO_MARKS: Final = ("<!-- written by `make photo-report` -->", "<!-- end of photo-report -->")
_README_ROWS: Final = ("ours-int8", "ours-fp32", "litert-int8", "openvino-int8", "keras-call", "keras-predict")
_WHY: Final = "LiteRT stays ahead for one image in memory: from Python, a call of onnxruntime alone costs 2.1 µs."
_COLLECTIONS: Final = {"photos": "phone photos", "products.zip": "a shop's catalogue"}
_PHOTO_COLUMNS: Final = (
    *("pictures", "garments", "correct", "mean of the kinds", "answered", "correct of these", "no garment: `unsure`"),
)


def replace_between(page: Path, marks: tuple[str, str], text: str) -> None:
    """Put text between two marks of a page. Raises UsageError if it lacks them."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise UsageError(f"{page} should contain: {marks[0]} ... {marks[1]}")
    write_atomically(page, f"{before}{begin}\n\n{text}\n\n{end}{after}")


def publish_bench(results: Results, checkout: Path = CHECKOUT) -> None:
    """Write README.md's table, docs/benchmark-results.md, and the run itself for later comparisons.

    The saved run has no host name, branch or times of single rounds.
    """
    commit = {**results.content["commit_info"], "project": "", "branch": ""}
    kept = {**results.content, "machine_info": {}, "commit_info": commit}
    for row in kept["benchmarks"]:
        row["stats"].pop("data", None)
    replace_between(checkout / "README.md", BENCH_MARKS, readme_part(results))
    write_atomically(checkout / "docs" / "bench.json", json.dumps(kept, indent=1) + "\n")
    write_atomically(checkout / "docs" / "benchmark-results.md", markdown(page(results)))


def readme_part(results: Results) -> str:
    """Return the table of backends, the machine it was measured on, and the goals that were missed."""
    shown = backends_table(results, _README_ROWS)
    missed = [f"{title} ({digits(ratio)}, not {goal:g})" for title, ratio, goal in results.goals() if ratio < goal]
    pages = "[All figures](docs/benchmark-results.md), [how they are measured](docs/benchmarks.md)."
    end = f"Goals missed: {'; '.join(missed) or 'none'}. {_WHY} {pages}"
    parts = [f"{results.where()}. {shown.note}", results.warning(), markdown_table(shown), end]
    return "\n\n".join(part for part in parts if part)


def photo_table(record: Mapping[str, Any]) -> str:
    """Return the table of collections in the JSON of an evaluation, as Markdown."""
    rows = []
    for one in (source for source in record["sources"] if source["name"] != "all"):
        nothing, name = one["no_garment_unsure"], _COLLECTIONS.get(one["name"], one["name"])
        by_kind = one["mean_of_kinds"] if one["kinds"] > 1 else None
        unsure = f"{_percent(nothing['share'])} of {nothing['total']:,}" if nothing["total"] else "-"
        shares = (one["right"]["share"], by_kind, one["answered"]["share"], one["right_of_answered"]["share"])
        cells = map(_percent, shares)
        rows.append([name, f"{one['right']['total']:,}", *cells, unsure])
    return markdown_rows(_PHOTO_COLUMNS, rows)


def _percent(share: float | None) -> str:
    return percent(share, 1).replace("\u00a0", " ")


def publish_photos(record: Mapping[str, Any], checkout: Path = CHECKOUT) -> None:
    """Write the table of an evaluation into README.md and docs/photos.md."""
    for name in ("README.md", "docs/photos.md"):
        replace_between(checkout / name, PHOTO_MARKS, photo_table(record))


if __name__ == "__main__":
    kind, file = sys.argv[1], Path(sys.argv[2])
    if kind == "bench":
        publish_bench(read_results(file))
    else:
        publish_photos(json.loads(file.read_bytes()))
