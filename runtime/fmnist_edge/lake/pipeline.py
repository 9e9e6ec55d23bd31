"""The pipeline on Ray Data: numbers of parts stream through a pool of workers, and what they did comes back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

import ray
import ray.data
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    RayError,
    RaySystemError,
)

from fmnist_edge.errors import ClusterError, FmnistEdgeError
from fmnist_edge.lake.done import WENT_AWAY, Done
from fmnist_edge.lake.job import Job
from fmnist_edge.lake.machines import check_machines
from fmnist_edge.lake.storage import reason
from fmnist_edge.lake.worker import IN_FLIGHT, Worker

# What Ray says, in one way or another, when machines are lost that it cannot do without.
_LOST: Final = (ActorDiedError, ActorUnavailableError, NodeDiedError, ObjectLostError, RaySystemError)


def classify_parts(job: Job, parts: Sequence[int], workers: int, *, bar: bool = False) -> Iterator[Done]:
    """Classify parts on the connected cluster and yield each as it is done, in any order.

    Where a worker dies, Ray starts another and begins its parts again, as often as it takes.
    `bar` shows Ray's progress bar. Raises FmnistEdgeError: what a worker raised, or ClusterError.
    """
    if not parts:
        return
    check_machines(job.versions)
    _quiet(bar)
    numbers = ray.data.from_items(list(parts), override_num_blocks=len(parts))
    done = numbers.map_batches(
        Worker,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(parts)), max_tasks_in_flight_per_actor=IN_FLIGHT),
        num_cpus=1,
    )
    done.set_name("parts")
    try:
        for row in done.iter_rows():
            yield Done(**row)
    except RayError as error:  # among them what a worker raised, as a class of both families
        raise _cause(error) from error


def _quiet(bar: bool) -> None:
    """Leave of Ray Data's messages the bar alone."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = bar
    context.enable_rich_progress_bars = True  # its other one has no room for the bar beside the figures
    context.enable_operator_progress_bars = False
    context.use_ray_tqdm = False
    context.raise_original_map_exception = True


def _cause(error: BaseException) -> FmnistEdgeError:
    """Return our own error that a worker raised, out of what Ray wrapped around it, or one that says what Ray says."""
    inner: Any = error
    while inner is not None:
        if isinstance(inner, FmnistEdgeError) and not isinstance(inner, RayError):
            inner.args = (str(inner).splitlines()[0],)  # Ray adds lines on options of its own
            return inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    what = WENT_AWAY if isinstance(error, _LOST) else f"Ray gave up: {reason(error)}"
    return ClusterError(f"{what}; what is done is kept, run it again to go on")
