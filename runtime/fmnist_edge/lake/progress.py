"""How far a run is: what is planned, what is there, and whether that is all."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_edge.errors import OutputError, UsageError
from fmnist_edge.lake.job import Job
from fmnist_edge.lake.plan import PART_SIZE, Plan, make_plan, read_plan
from fmnist_edge.lake.results import count_failed, mark_complete, written_parts
from fmnist_edge.lake.settings import check_same


@dataclass(frozen=True)
class Progress:
    """How far a destination is."""

    plan: Plan
    written: frozenset[int]
    """Numbers of the parts whose results are there."""

    @property
    def left(self) -> list[int]:
        """The numbers of the parts that are not there yet."""
        return [number for number in range(self.plan.parts) if number not in self.written]


def prepare(job: Job, part_size: int | None = None) -> Progress:
    """Read the destination's plan, or make one of parts of `part_size` inputs, and see how far it is.

    Raises UsageError if the destination holds other results, or was planned otherwise; DataError; OutputError.
    """
    written = frozenset(written_parts(job.destination))
    plan = read_plan(job.destination)
    if plan is None:
        if written:
            raise UsageError(f"{job.destination.shown} holds results without a plan: choose another --out")
        return Progress(make_plan(job.destination, job.sources, job.settings, part_size or PART_SIZE), written)
    check_same(plan.settings, job.settings, job.destination.shown)
    if part_size not in (None, plan.part_size):
        raise UsageError(f"--part-size has no effect: {job.destination.shown} was planned with {plan.part_size}")
    return Progress(plan, written)


def check_complete(job: Job, plan: Plan) -> None:
    """Mark the results as complete. Raises OutputError if a part is not there for this machine to see."""
    missing = plan.parts - len(written_parts(job.destination) & set(range(plan.parts)))
    if missing:
        raise OutputError(
            f"{missing} of {plan.parts} parts did not reach {job.destination.shown} as this machine sees it; "
            "a folder as --out must lie on a disk that all machines of the cluster share"
        )
    mark_complete(job.destination)


def failed_before(job: Job, progress: Progress) -> int:
    """Return how many error rows the parts have that were there already. Raises DataError."""
    return count_failed(job.destination, progress.written)
