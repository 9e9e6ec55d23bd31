"""A worker: one process with one classifier, which turns parts of the plan into files of results."""

from __future__ import annotations

import os
import platform
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import ray

from fmnist_edge.batch import Result, classify_sources, table_row
from fmnist_edge.classifier import Classifier
from fmnist_edge.lake.careful import classify_carefully
from fmnist_edge.lake.fetching import Fetched, fetched
from fmnist_edge.lake.job import Job, library_versions
from fmnist_edge.lake.machines import check_versions
from fmnist_edge.lake.plan import read_part
from fmnist_edge.lake.results import write_part

IN_FLIGHT: Final = 2  # parts that Ray hands to a worker at once, so that it never waits for the next


class Worker:
    """Classifies parts. Ray keeps it as an actor and starts it again when its process dies."""

    def __init__(self, job: Job) -> None:
        """Load the model. Raises ClusterError if other versions would give other answers here."""
        check_versions(library_versions(), job.versions, platform.node())  # of a machine that came later
        self._job = job
        self._classifier = _classifier_of(job)
        # A process that died may have died of an image; the parts that it was at come first.
        self._careful = IN_FLIGHT if _was_restarted() else 0

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Classify the parts with the numbers `item`; return a row for each, as `Done` is."""
        done = [self._do(int(number)) for number in batch["item"]]
        return {name: np.array([row[name] for row in done]) for name in done[0]}

    def _do(self, number: int) -> dict[str, Any]:
        begun, used = time.perf_counter(), time.process_time()
        rows = self._rows(number)
        write_part(self._job.destination, number, rows)
        return {
            "part": number,
            "inputs": len(rows),
            "failed": sum(row["error_code"] is not None for row in rows),
            "host": platform.node(),
            "process": os.getpid(),
            "seconds": time.perf_counter() - begun,
            "core_seconds": time.process_time() - used,
        }

    def _rows(self, number: int) -> list[dict[str, Any]]:
        """Return the rows of a part's results, in the order of its items."""
        origins: list[str] = []
        settings = self._job.settings
        rows = [table_row(result, top_k=settings.top_k) for result in self._classified(self._pictures(number, origins))]
        return [row | {"source": origin} for row, origin in zip(rows, origins, strict=True)]

    def _classified(self, pictures: Iterator[tuple[str, Fetched]]) -> Iterator[Result]:
        self._careful -= 1
        if self._careful >= 0:
            return classify_carefully(partial(_classifier_of, self._job), pictures)
        return classify_sources(self._classifier, pictures)

    def _pictures(self, number: int, origins: list[str]) -> Iterator[tuple[str, Fetched]]:
        """Yield path and picture of each image of a part, and note in `origins` where it came from."""
        return fetched(self._listed(read_part(self._job.destination, number), origins))

    def _listed(self, items: Iterable[Any], origins: list[str]) -> Iterator[tuple[str, Any]]:
        for item in items:
            source = self._job.sources[item.source]
            for path, picture in source.pictures(item):
                origins.append(source.place.shown)
                yield path, picture


def _was_restarted() -> bool:
    """Tell whether this process stands in for one that died."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray warns of what it uses itself
        return bool(ray.get_runtime_context().was_current_actor_reconstructed)


def _classifier_of(job: Job) -> Classifier:
    settings = job.settings
    if job.model is None:
        return Classifier(route=settings.route, max_pixels=settings.max_pixels, unsure_below=settings.min_confidence)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(job.model)
        # The file may go: it has been read when this returns.
        return Classifier(
            path, route=settings.route, max_pixels=settings.max_pixels, unsure_below=settings.min_confidence
        )
