"""How a long command tells what it is doing: steps, and a count within a step."""

from __future__ import annotations


class Progress:
    """Hears of steps and counts, and does nothing with them; the command line draws them."""

    def step(self, title: str) -> None:
        """Begin a step, and so end the one before; `title` is what it does ("measuring on 10,000 test images")."""

    def count(self, done: int, total: int) -> None:
        """Say how far the present step is: `done` of `total` images or tries."""


SILENT = Progress()
