"""What became of a part, or of the cluster that should have done it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WENT_AWAY: Final = "the Ray cluster went away"


@dataclass(frozen=True)
class Done:
    """A part that is done, and who did it."""

    part: int
    inputs: int
    failed: int
    """How many of the inputs are error rows."""
    host: str
    """The machine of the worker."""
    process: int
    """Its process."""
    seconds: float
    """From reading the part's items to its written results."""
    core_seconds: float
    """What the worker's process computed meanwhile."""
