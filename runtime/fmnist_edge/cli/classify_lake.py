"""`fmnist-edge classify-lake`: images in any storage to Parquet files, on Ray. Needs the extra [ray]."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fmnist_edge.cli.options import (
    common_options,
    is_debugging,
    is_verbose,
    max_pixels_option,
    min_confidence_option,
    model_option,
    note,
    route_option,
    shows_progress,
)
from fmnist_edge.errors import EXIT_FAILED, MissingExtraError

if TYPE_CHECKING:
    from fmnist_edge.lake.done import Done
    from fmnist_edge.lake.job import Job
    from fmnist_edge.lake.progress import Progress


@click.command("classify-lake")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("-o", "--out", "destination", required=True, metavar="DEST", help="Folder or URI for the results.")
@click.option("--column", metavar="NAME", help="Of Parquet sources: the column of paths, or of encoded images.")
@click.option("--address", metavar="HOST:PORT", help="A Ray cluster.  [default: one on this machine]")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes.  [default: one a core]")
@click.option(
    "--part-size",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="Images of a result file, and of what a worker does at once.  [default: 1000]",
)
@click.option(
    "--top-k", type=click.IntRange(1, 10), default=3, show_default=True, metavar="N", help="List the N best classes."
)
@min_confidence_option
@route_option
@max_pixels_option
@model_option
@common_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    sources: tuple[str, ...],
    destination: str,
    column: str | None,
    address: str | None,
    workers: int | None,
    part_size: int | None,
    model: Path | None,
    **answering: Any,
) -> None:
    """Classify images in any number and storage, on Ray, into a folder of Parquet files.

    SOURCE is a folder (with all that is in it), an image or a Parquet file: a path, or a URI such as s3://bucket/photos.
    What is in DEST already is not done again: a run that was stopped goes on where it was.
    """
    _require_extra()
    from fmnist_edge.lake.driving import Request
    from fmnist_edge.lake.job import make_job
    from fmnist_edge.lake.progress import failed_before, prepare
    from fmnist_edge.lake.running import finish

    job = make_job(sources, destination, column, model, **answering)
    progress = prepare(job, part_size)
    tally = _Tally(failed=failed_before(job, progress))
    _tell(progress)
    bar = shows_progress() and not is_verbose()  # lines would run through it
    finish(job, progress, Request(address, workers, bar, loud=is_debugging(ctx)), tally.add)
    _sum_up(job, progress, tally)
    if tally.failed:
        ctx.exit(EXIT_FAILED)


def _require_extra() -> None:
    for module in ("ray", "pyarrow"):
        if find_spec(module) is None:
            raise MissingExtraError("classify-lake", "ray", module)


@dataclass
class _Tally:
    """Counts parts as they are done."""

    failed: int
    """Error rows in the whole of the results."""
    parts: int = 0

    def add(self, done: Done) -> None:
        self.failed += done.failed
        self.parts += 1
        if is_verbose():
            took = f"{done.seconds:.3f} s, {done.core_seconds:.3f} of them computing"
            what = f"{_counted(done.inputs, 'image')}, {done.failed} failed, {took}"
            note(f"part {done.part}: {what}, process {done.process} on {done.host}")


def _tell(progress: Progress) -> None:
    plan, done = progress.plan, len(progress.written)
    if not plan.inputs:
        note("No files found.")
        return
    before = f", {done:,} of which {'is' if done == 1 else 'are'} done already" if done else ""
    note(f"{_counted(plan.inputs, 'image')} in {_counted(plan.parts, 'part')}{before}.")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _sum_up(job: Job, progress: Progress, tally: _Tally) -> None:
    inputs = progress.plan.inputs
    note(f"{inputs - tally.failed:,} classified, {tally.failed:,} failed: the results are in {job.destination.shown}.")
