"""`fmnist-edge bench`: what the models cost on this machine, beside what else one could run."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fmnist_edge.cli.options import common_options, data_option, note, shows_progress, text_or_json_option
from fmnist_edge.errors import MissingExtraError

if TYPE_CHECKING:
    from fmnist_bench.run import Request


@click.command("bench")
@click.option("--quick", is_flag=True, help="Few runs: a first look, or CI.")
@click.option("--runtime-only", is_flag=True, help="Measure the shipped classifier alone, though more is installed.")
@click.option("--require-all", is_flag=True, help="Fail with 3 if any contender is not installed.")
@click.option(
    "--against",
    "baseline",
    metavar="BASELINE",
    help="Compare with a git revision (measured in turns with this one) or a saved bench.json; exit with 1 if a "
    "figure got slower.",
)
@click.option(
    "--original",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The .keras file that the shipped model was made from.  [default: that of the checkout]",
)
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the report to DIR, too: bench.json, bench.md, bench.html and charts.",
)
@data_option
@text_or_json_option
@common_options
def command(
    quick: bool,
    runtime_only: bool,
    require_all: bool,
    baseline: str | None,
    original: Path | None,
    output: Path | None,
    data: Path | None,
    output_format: str,
) -> None:
    """Measure speed, memory and size.

    On any device: cold start, one image, one PNG, and 10,000 images, by the runtime alone. With the extra [bench]:
    the whole suite, against Keras, LiteRT, OpenVINO and numpy on the same weights.
    """
    if runtime_only and (require_all or original):
        raise click.UsageError("--require-all and --original are about contenders, which --runtime-only leaves out.")
    if baseline and (runtime_only or require_all or original):
        raise click.UsageError("--against measures the runtime alone: leave out what is about contenders.")
    with _folder(output) as folder:
        asked = _Asked(folder, output, quick, original, data, require_all, output_format)
        if baseline:
            _compare(baseline, asked)
        else:
            _measure(asked, runtime_only)


@dataclass(frozen=True)
class _Asked:
    """What both ways to measure share."""

    folder: Path
    output: Path | None
    quick: bool
    original: Path | None
    data: Path | None
    require_all: bool
    output_format: str

    def request(self) -> Request:
        """Return what to measure."""
        from fmnist_bench.measuring.plan import FULL, QUICK
        from fmnist_bench.run import Request

        return Request(QUICK if self.quick else FULL, self.folder, self.original, self.data, self.require_all)


def _measure(asked: _Asked, runtime_only: bool) -> None:
    from fmnist_bench.report.markdown import markdown
    from fmnist_bench.report.text import text
    from fmnist_bench.report.writing import add_to_job_summary, write_report
    from fmnist_bench.run import run_device, run_suite, steps

    needs_suite = asked.require_all or asked.original is not None or asked.output is not None
    device, request = _only_runtime(runtime_only, needs_suite), asked.request()
    with _progress(steps(request, device=device)) as on_step:
        report = (run_device if device else run_suite)(request, on_step)
    if asked.output:
        write_report(report, asked.output)
        note(f"wrote {asked.output / 'bench.html'}, with bench.md, bench.json and charts beside it")
    add_to_job_summary(markdown(report))
    click.echo(report.as_json() if asked.output_format == "json" else text(report), nl=False)


def _only_runtime(wanted: bool, needs_suite: bool) -> bool:
    """Tell whether to measure the runtime alone: by wish, or where the extra is not installed."""
    from fmnist_bench.installed import missing_for_suite

    missing = missing_for_suite()
    if missing and needs_suite:
        raise MissingExtraError("bench", "bench", missing)
    if missing and not wanted:
        note("The runtime alone: for the other contenders, pip install 'fmnist-edge[bench]'.")
    return wanted or missing is not None


def _compare(baseline: str, asked: _Asked) -> None:
    import json

    from fmnist_bench.comparison import check, compare, comparison_steps, write_comparison
    from fmnist_bench.report.markdown import verdicts_text
    from fmnist_bench.report.writing import add_to_job_summary

    request = asked.request()
    with _progress(comparison_steps(baseline, request)) as on_step:
        verdicts = compare(baseline, request, on_step)
    if asked.output:
        write_comparison(verdicts, baseline, asked.output)
    text = verdicts_text(verdicts, baseline)
    add_to_job_summary(text)
    facts = json.dumps([one.as_facts() for one in verdicts], indent=1) + "\n"
    click.echo(facts if asked.output_format == "json" else text, nl=False)
    check(verdicts, baseline)


@contextmanager
def _folder(output: Path | None) -> Iterator[Path]:
    """Give a folder for models and raw data: that of the report, or one that vanishes."""
    if output:
        output.mkdir(parents=True, exist_ok=True)
        yield output
        return
    with tempfile.TemporaryDirectory(prefix="fmnist-bench-") as folder:
        yield Path(folder)


@contextmanager
def _progress(length: int) -> Iterator[Callable[[str], None]]:
    """Show a bar on standard error where a person watches it."""
    shown: dict[str, Any] = {
        "file": sys.stderr,
        "hidden": not shows_progress(),
        "item_show_func": lambda step: step or "",
    }
    done = itertools.chain([0], itertools.repeat(1))  # a step is counted when the next one begins
    progress: Any = click.progressbar(length=length, label="Measuring", update_min_steps=0, **shown)
    with progress as bar:
        yield lambda step: bar.update(next(done), step)
