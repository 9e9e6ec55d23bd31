"""What a hundred million images take, computed from what one takes, and where the limit is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LAKE: Final = 100_000_000  # images
CORES: Final = (16, 128, 1024)
# Amazon S3 answers at least 5,500 GET and HEAD requests a second for each partitioned prefix ("Best practices design
# patterns: optimizing Amazon S3 performance", the user guide).
S3_REQUESTS: Final = 5500
REQUESTS_AN_IMAGE: Final = 2  # pyarrow asks for the size first (HEAD), then reads (GET); counted in a server's log


@dataclass(frozen=True)
class Cost:
    """What the lake takes of one kind of image."""

    core_hours: float
    """In all, images read from S3."""
    hours: dict[int, float]
    """By number of cores."""
    cores_of_a_prefix: float
    """How many cores a single prefix of S3 keeps busy; with more, the images need more prefixes."""
    megabytes_a_second: dict[int, float]
    """What the storage must deliver, by number of cores."""


def cost(core_seconds_an_image: float, bytes_an_image: float) -> Cost:
    """Return the cost of the lake at so many seconds of a core, and bytes in the storage, for an image."""
    core_hours = LAKE * core_seconds_an_image / 3600
    return Cost(
        core_hours,
        {cores: core_hours / cores for cores in CORES},
        S3_REQUESTS / REQUESTS_AN_IMAGE * core_seconds_an_image,
        {cores: cores / core_seconds_an_image * bytes_an_image / 1e6 for cores in CORES},
    )
