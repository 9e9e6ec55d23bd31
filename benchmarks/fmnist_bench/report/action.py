"""The form that github-action-benchmark reads (`customSmallerIsBetter`): a list of medians."""

from __future__ import annotations

import json

from fmnist_bench.bench_report import Report
from fmnist_bench.row import Row


def action_json(report: Report) -> str:
    """Return our own rows' medians, in microseconds, and sizes."""
    ours = {one.key for one in report.entrants if one.is_ours} | {"int8-classifier"}
    rows = [row for row in (report.rows or report.device) if row.contender in ours]
    sizes = [{"name": f"size: {one.title}", "unit": "bytes", "value": one.size} for one in report.sizes]
    return json.dumps([*map(_entry, rows), *sizes], indent=1) + "\n"


def _entry(row: Row) -> dict[str, object]:
    return {
        "name": f"{row.figure}: {row.contender}, {row.threads} threads, {row.images:,} images",
        "unit": "us",
        "value": round(row.p50 * 1e6, 3),
        "range": f"± {100 * row.spread / 2:.0f} %",
        "extra": f"{row.count} runs in {len(row.medians)} processes",
    }
