"""The files of a report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fmnist_bench.bench_report import Report
from fmnist_bench.report.action import action_json
from fmnist_bench.report.markdown import markdown
from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import OutputError

JSON: Final = "bench.json"
_CHART_FORMS: Final = ("png", "svg")


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write bench.json, bench.md, bench-action.json, bench.html and the charts. Raises OutputError.

    Page and charts need the extra [plot].
    """
    from fmnist_bench.plots import rendered
    from fmnist_bench.report.charts import charts
    from fmnist_bench.report.page import page

    files: dict[str, str | bytes] = {
        JSON: report.as_json(),
        "bench.md": markdown(report),
        "bench.html": page(report),
        "bench-action.json": action_json(report),
    }
    for name, (plot, _) in charts(report).items():
        files |= {f"{name}.{form}": rendered(plot, form) for form in _CHART_FORMS}
    for name, content in files.items():
        write_atomically(folder / name, content)
    return [folder / name for name in files]


def add_to_job_summary(text: str) -> None:
    """Append Markdown to the summary of a GitHub job, if this is one. Raises OutputError."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    try:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise OutputError(f"cannot add to the job summary {summary}: {error.strerror}") from error
