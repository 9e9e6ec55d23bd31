"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fmnist_edge import __version__
from fmnist_edge.batch import DEFAULT_TOP_K
from fmnist_edge.classifier import Route
from fmnist_edge.errors import UsageError
from fmnist_edge.image_files import MAX_PIXELS
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, sha256_of


@dataclass(frozen=True)
class Settings:
    """All that decides what the results are: a run is resumed only by the same settings."""

    sources: tuple[str, ...]
    """As shown: without credentials."""
    column: str | None
    """Of Parquet sources, where it was named."""
    models: tuple[str, ...]
    """SHA-256 of the model files."""
    route: Route = "auto"
    """As for `Classifier`."""
    top_k: int = DEFAULT_TOP_K
    """How many classes `top` lists, 1..10."""
    min_confidence: float | None = None
    """Below it the label is `unsure`, 0..1; None takes each prediction's own threshold."""
    max_pixels: int = MAX_PIXELS
    """Pictures of more pixels are refused."""
    package: str = __version__
    """The version of fmnist-edge."""


def model_sums(model: Path | None) -> tuple[str, ...]:
    """Return the SHA-256 of the model, or of both embedded ones. Raises ModelError."""
    files = (model,) if model else (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL)
    return tuple(sha256_of(file) for file in files)


def check_same(old: Settings, new: Settings, where: str) -> None:
    """Raise UsageError unless a run by these settings may go on with the results that are there already."""
    for name, before in vars(old).items():
        now = getattr(new, name)
        if before != now:
            raise UsageError(
                f"{where} holds results of another run ({name}: {_shown(before)}, now {_shown(now)}); "
                "repeat that run's options to go on with it, or choose another --out"
            )


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else "none" if value is None else str(value)
