"""A run's figures where people look first. `make bench-readme` runs this module: `... bench.json CHECKOUT`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from fmnist_bench.bench_report import Entrant, Report, read_report
from fmnist_bench.plots import rendered
from fmnist_bench.report.charts import charts
from fmnist_bench.report.facts import warning
from fmnist_bench.report.markdown import markdown, rows_text
from fmnist_bench.report.tables import Table
from fmnist_bench.report.units import duration, percent, rate, size
from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import UsageError

BEGIN: Final = "<!-- written by `make bench-readme` -->"
END: Final = "<!-- to here -->"
CHART: Final = "docs/figures/bench-latency.png"
RESULTS: Final = "docs/benchmark-results.md"
KEPT: Final = "docs/bench.json"
_DPI: Final = 110


def publish(report: Report, checkout: Path) -> None:
    """Write the README's part, the whole report, the chart, and bench.json itself, to compare with later.

    Raises UsageError for a run that is not a full one, or a README without its marks.
    """
    if report.plan != "full":
        raise UsageError(f"the README shows full runs, not a {report.plan} one: run `make bench`")
    readme = checkout / "README.md"
    plot, _ = charts(report)["latency"]
    write_atomically(checkout / KEPT, report.as_json())
    write_atomically(checkout / RESULTS, markdown(report))
    write_atomically(checkout / CHART, rendered(plot, "png", dpi=_DPI))
    write_atomically(readme, with_part(readme.read_text(encoding="utf-8"), readme_part(report)))


def with_part(text: str, part: str) -> str:
    """Return the text with what stands between the marks replaced. Raises UsageError if they are not there once."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise UsageError(f"README.md should hold once: {BEGIN} ... {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n\n{part}\n\n{END}", text)


def readme_part(report: Report) -> str:
    """Return machine, table, chart and link."""
    shown = [one for one in report.contenders() if one.status == "measured" and not one.key.endswith("session")]
    columns = ("", "accuracy", "one image", "one PNG to its label", "10,000 images", "images/s", "cold start", "memory")
    rows = [_row(report, one) for one in shown]
    ours = [number for number, one in enumerate(shown) if one.is_ours]
    table = rows_text(Table("", "", columns, rows, ours))
    chart = f"![Time for one image by contender, on a logarithmic axis; the table has the figures]({CHART})"
    return "\n\n".join(part for part in (_where(report), table, _reading(report), chart) if part)


def _row(report: Report, one: Entrant) -> list[str]:
    single, png, many, start = (
        report.row(figure, one.key) for figure in ("one-image", "png-to-label", "ten-thousand", "cold-start")
    )
    return [
        one.title,
        percent(one.accuracy),
        *(duration(row.p50 if row else None) for row in (single, png, many)),
        rate(many.images_per_second if many else None),
        duration(start.p50 if start else None),
        size(start.peak_bytes if start else None),
    ]


def _where(report: Report) -> str:
    machine, versions = report.machine, report.versions
    sets = ", ".join(machine.get("instruction_sets", ()))
    return (
        f"On {machine['cores']} cores of {machine['cpu']} ({sets}), one thread, {report.date[:10]}, medians; "
        f"onnxruntime {versions['onnxruntime']}, Python {versions['python']}. {warning(report)}"
    ).strip()


def _reading(report: Report) -> str:
    missed = [f"{goal.title} ({goal.value:.2f})" for goal in report.goals if not goal.reached]
    folders = [row for row in report.rows if row.figure == "folder" and row.contender == "int8-classifier"]
    best = max(folders, key=lambda row: row.images_per_second, default=None)
    parts = [
        "The same weights and test images for all. One image and many: the model alone; cold start: a whole process."
    ]
    if best:
        speed = f"{rate(best.images_per_second)} PNG files a second ({best.threads} process{'es' * (best.threads > 1)})"
        parts.append(f"`classify -r` takes {speed}.")
    if missed:
        parts.append(f"Goals missed: {'; '.join(missed)}.")
    parts.append(f"[All figures]({RESULTS}); [how they are measured](docs/benchmarks.md).")
    return " ".join(parts)


if __name__ == "__main__":
    publish(read_report(Path(sys.argv[1])), Path(sys.argv[2]))
