"""In how many scans a JPEG comes: what decides about the memory and the time that libjpeg takes for it."""

from __future__ import annotations

from typing import Final

# Markers of ITU-T T.81, table B.1.
_START_OF_SCAN: Final = 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xDA)})  # without a length after them


def count_scans(data: bytes) -> int:
    """Return how many scans a JPEG has at most: those of an embedded thumbnail are counted, too."""
    return data.count(bytes((0xFF, _START_OF_SCAN)))


def has_many_scans(data: bytes) -> bool:
    """Tell whether a JPEG that is not progressive comes in several scans: its first holds not all components.

    libjpeg decides by the same rule whether it must hold the whole picture (T.81, B.2.2 and B.2.3). A file without a
    readable frame and scan counts as one: it will not be decoded anyway.
    """
    components, at = 0, 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 < len(data):
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            return data[at + 4] < components
        if marker in _FRAMES and at + 9 < len(data):
            components = data[at + 9]
        at += _step(data, at)
    return False


def _step(data: bytes, at: int) -> int:
    """Return how far the next marker may be from the one at `at`."""
    marker = data[at + 1]
    if marker == 0xFF:  # padding
        return 1
    if marker == 0 or marker in _ALONE:
        return 2
    return 2 + int.from_bytes(data[at + 2 : at + 4], "big")
