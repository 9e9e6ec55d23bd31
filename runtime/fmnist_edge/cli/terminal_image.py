"""A grey image in a terminal: half blocks in 256 colours, or plain characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# Of the 256 colours of xterm (ctlseqs, "256-color"), 232..255 are a ramp of greys, and 16 and 231 black and white.
_GREYS: Final[tuple[int, ...]] = (16, *range(232, 256), 231)
_SHADES: Final = " .:-=+*#%@"  # of rising ink, for terminals without colour
_HALF: Final = "\u2580"  # the upper half block: its ink is the upper pixel, its ground the lower

Pixels = Sequence[Sequence[int]]


def blocks(pixels: Pixels) -> str:
    """Return lines in which each character is two pixels, 0..255, one above the other; an even number of rows."""
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = (f"\x1b[38;5;{_grey(a)};48;5;{_grey(b)}m{_HALF}" for a, b in zip(upper, lower, strict=True))
        lines.append("".join(cells) + "\x1b[0m\n")
    return "".join(lines)


def plain(pixels: Pixels) -> str:
    """Return lines in which each character is the mean of two pixels, 0..255, one above the other."""
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        shades = (_SHADES[(a + b) * len(_SHADES) // 512] for a, b in zip(upper, lower, strict=True))
        lines.append("".join(shades).rstrip() + "\n")
    return "".join(lines)


def _grey(level: int) -> int:
    """Return the colour number of a grey level, 0..255."""
    return _GREYS[round(level * (len(_GREYS) - 1) / 255)]
