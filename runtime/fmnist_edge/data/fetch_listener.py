"""What a fetch tells while it goes on."""

from __future__ import annotations


class FetchListener:
    """Hears how a fetch goes; this one is silent. Override what you want to show."""

    def step(self, message: str) -> None:
        """Hear a line for people: what begins, failed or is done."""

    def detail(self, message: str) -> None:
        """Hear a line for those who want to know more."""

    def received(self, name: str, so_far: int, total: int | None) -> None:
        """Hear that `so_far` bytes of `name` have come, of `total` if that is known."""
