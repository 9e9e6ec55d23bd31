"""The job of a run: what every worker gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import PIL

from fmnist_edge import __version__
from fmnist_edge.batch import DEFAULT_TOP_K
from fmnist_edge.classifier import Classifier, Route
from fmnist_edge.image_files import MAX_PIXELS
from fmnist_edge.lake.opening import open_destination, open_sources
from fmnist_edge.lake.settings import Settings, model_sums
from fmnist_edge.lake.sources import Source
from fmnist_edge.lake.storage import Place


@dataclass(frozen=True)
class Job:
    """What to classify, how, and whereto. Pickles."""

    settings: Settings
    sources: tuple[Source, ...]
    destination: Place
    model: bytes | None
    """The content of --model, which need not be a file on the worker's machine."""
    versions: tuple[str, ...]
    """Of the libraries that decide an answer, on the machine that started the run."""


def make_job(
    sources: Sequence[str],
    destination: str,
    column: str | None = None,
    model: Path | None = None,
    *,
    route: Route = "auto",
    top_k: int = DEFAULT_TOP_K,
    min_confidence: float | None = None,
    max_pixels: int | None = None,
) -> Job:
    """Open sources, destination and model, and return the job. For the arguments see `Settings`.

    Raises UsageError, DataError or ModelError.
    """
    Classifier(model, route=route)  # says here, not on every worker, what is wrong with it
    opened = open_sources(sources, column)
    shown = tuple(source.place.shown for source in opened)
    settings = Settings(shown, column, model_sums(model), route, top_k, min_confidence, max_pixels or MAX_PIXELS)
    content = model.read_bytes() if model else None
    return Job(settings, opened, open_destination(destination, opened), content, library_versions())


def library_versions() -> tuple[str, ...]:
    """Return name and version of the libraries that decide an answer."""
    found = {"fmnist-edge": __version__, "onnxruntime": onnxruntime.__version__, "pillow": PIL.__version__}
    return tuple(f"{name} {version}" for name, version in found.items())
