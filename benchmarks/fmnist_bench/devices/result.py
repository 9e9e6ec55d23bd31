"""What is known of a row after it was run, or was not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fmnist_bench.devices.checks import ClassifierDifference, PhotoDifference
from fmnist_bench.devices.device import Device

Status = Literal["ok", "failed", "not run"]


@dataclass(frozen=True)
class FaultResult:
    """What a device made of a planted fault."""

    model: str
    caught: bool
    """Whether the limits of the classifier broke, as they must."""
    difference: ClassifierDifference


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    device: Device
    status: Status
    reasons: tuple[str, ...] = ()
    """Why it failed or was not run."""
    how: str = ""
    runtime: str = ""
    host: str = ""
    classifier: ClassifierDifference | None = None
    photos: PhotoDifference | None = None
    fault: FaultResult | None = None
    milliseconds: dict[str, float] = field(default_factory=dict)
    """By model, for an image in a batch or for a photo; empty where the time means nothing."""

    def as_facts(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        facts = {name: value for name, value in asdict(self).items() if name != "device"}
        return {
            "device": self.device.name,
            "examples": self.device.examples,
            "promise": self.device.promise.value,
            **facts,
        }
