"""Running what is left of a plan, between a sweep before and a check after."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fmnist_edge.lake.job import Job
from fmnist_edge.lake.pipeline import Done, classify_parts
from fmnist_edge.lake.progress import Progress, check_complete
from fmnist_edge.lake.results import sweep

OnPart: TypeAlias = Callable[[Done], None]


def finish(job: Job, progress: Progress, workers: int, on_part: OnPart, *, bar: bool = False) -> None:
    """Classify what is left on the connected Ray cluster, with a worker each on `workers` CPUs.

    `on_part` is called for each part that is done. Raises FmnistEdgeError, after which what is done stays done.
    """
    sweep(job.destination)
    try:
        for done in classify_parts(job, progress.left, workers, bar=bar):
            on_part(done)
    finally:
        sweep(job.destination)
    check_complete(job, progress.plan)
