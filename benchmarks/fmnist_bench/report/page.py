"""bench.html: the report on one page that needs no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import jinja2

from fmnist_bench.bench_report import Report
from fmnist_bench.evaluation_report import Figure, data_uri
from fmnist_bench.plots import DARK, LIGHT, Plot, rendered
from fmnist_bench.report.charts import charts
from fmnist_bench.report.facts import facts, warning
from fmnist_bench.report.tables import tables

DPI: Final = 170  # twice a phone's pixels; the page stays under a megabyte


def page(report: Report) -> str:
    """Return the page. It refers to no other file and holds no script."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known = dict(facts(report))
    return environment.get_template("page.html.jinja").render(
        title="fmnist-edge: what it costs",
        subtitle=f"{known['CPU']}. {known['run']}.",
        warning=warning(report),
        charts=[_chart(plot, alt) for plot, alt in charts(report).values()],
        tables=tables(report),
        facts=facts(report),
    )


def _chart(plot: Plot, alt: str) -> Figure:
    light, dark = (data_uri(rendered(plot, "png", dpi=DPI, theme=theme)) for theme in (LIGHT, DARK))
    return Figure(alt, light, dark)
