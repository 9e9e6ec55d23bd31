"""What a row of the matrix is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from fmnist_bench.devices.tools import Tools

ALL_IMAGES: Final = 11_000
SLOW_IMAGES: Final = 3_000  # 2,000 of the test set and all 1,000 stress images: what emulation is given


class Promise(Enum):
    """How equal a device's answers of the classifier must be."""

    BITS = "hidden layer and logits equal to the bit, probabilities within 1e-6"
    FLOAT_PATH = "the same labels, probabilities within 0.002"
    LABELS = "the same labels"


@dataclass(frozen=True)
class Command:
    """How to run the workload on a device: this line, with the workload's arguments behind it."""

    line: tuple[str, ...]
    how: str
    """For the table: what stands in for the device."""
    environment: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False
    """Emulated: fewer images, and no time worth telling."""


Method = Callable[[Tools], Command]
"""Installs what it needs and returns the command; raises NotAvailableError where it cannot be had on this machine."""


@dataclass(frozen=True)
class Device:
    """A row of the matrix."""

    name: str
    examples: str
    """Hardware of this kind."""
    methods: tuple[Method, ...]
    """Ways to have it, the best first."""
    promise: Promise = Promise.BITS
    features: Mapping[str, bool] = field(default_factory=dict)
    """CPU features that a library must see there, or must not: proof that the right kernels ran."""
    fault: str | None = None
    """A faulty model whose wrong answers this device must show."""
    quick: bool = False
    """Whether `make devices-quick` runs it."""
