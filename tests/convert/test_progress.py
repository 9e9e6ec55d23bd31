"""What `convert` shows while it works."""

from __future__ import annotations

import sys

import pytest

from tests.terminal import drawn, lines_of

PROGRAM = """
from fmnist_convert.progress import terminal_progress
with terminal_progress(True) as progress:
    progress.step("the original on test images, which takes a while on such a device")
    for done in range(0, 10_001, 1_000):
        progress.count(done, 10_000)
        progress.draw()
"""


@pytest.mark.parametrize("columns", [40, 80])
def test_a_step_is_drawn_over_itself_in_any_terminal(columns: int) -> None:
    lines = lines_of(drawn(sys.executable, "-c", PROGRAM, columns=columns))
    assert len(lines) > 10
    assert max(map(len, lines[:-2])) < columns  # the last is the finished step, whole
