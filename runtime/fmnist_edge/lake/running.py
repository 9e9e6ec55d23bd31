"""Running what is left of a plan, between a sweep before and a check after."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fmnist_edge.lake.done import Done
from fmnist_edge.lake.driving import Request, drive
from fmnist_edge.lake.job import Job
from fmnist_edge.lake.progress import Progress, check_complete
from fmnist_edge.lake.results import sweep

OnPart: TypeAlias = Callable[[Done], None]


def finish(job: Job, progress: Progress, request: Request, on_part: OnPart) -> None:
    """Classify what is left on a Ray cluster.

    `on_part` is called for each part that is done. Raises FmnistEdgeError, after which what is done stays done.
    """
    sweep(job.destination)
    try:
        for done in drive(job, progress.left, request) if progress.left else ():
            on_part(done)
    finally:
        sweep(job.destination)
    check_complete(job, progress.plan)
