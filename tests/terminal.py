"""A terminal of any width for the tests."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from pathlib import Path

import pytest


def drawn(*command: str | Path, columns: int) -> str:
    """Run a command whose standard error is a terminal, and its output none; return what the terminal was sent."""
    fcntl, termios = (
        pytest.importorskip(name, reason="Windows has no such terminals") for name in ("fcntl", "termios")
    )
    ours, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment, check=False, timeout=60)
    os.close(terminal)
    sent = b""
    try:
        while piece := os.read(ours, 65536):
            sent += piece
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return sent.decode()


def lines_of(sent: str) -> list[str]:
    """Return each line as it was drawn, without colours and movements."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", sent))
