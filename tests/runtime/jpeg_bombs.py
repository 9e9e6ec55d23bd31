"""JPEG files written by hand: small files that claim much, in ways that no encoder writes."""

from __future__ import annotations

import struct

# A code table with one code of one bit: for the value 0, which is "no difference" and "nothing but zeros follow".
_ONE_CODE = bytes([1] + [0] * 15) + b"\0"


def flat_jpeg(width: int, height: int, *, interleaved: bool = True, scans: int = 0, cut: bool = False) -> bytes:
    """Return a grey JPEG with three components, two bits for each block of 64 pixels.

    Not `interleaved`, each component comes in a scan of its own, so that a decoder must hold the picture. `scans`
    more than 0 makes it progressive, of that many scans. `cut` leaves the pixels out.
    """
    blocks = -(-width // 8) * -(-height // 8)
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    frame = struct.pack(">BHHB", 8, height, width, 3) + components
    data = b"\xff\xd8" + _segment(0xDB, b"\0" + b"\1" * 64) + _segment(0xC2 if scans else 0xC0, frame)
    data += _segment(0xC4, b"\0" + _ONE_CODE) + _segment(0xC4, b"\x10" + _ONE_CODE)
    if scans:
        first = _scan(b"\1\0\2\0\3\0", 0, 0, 0 if cut else -(-blocks * 3 // 8))
        return data + first + _scan(b"\1\0", 1, 63, 0 if cut else -(-blocks // 8)) * (scans - 1) + b"\xff\xd9"
    if interleaved:
        return data + _scan(b"\1\0\2\0\3\0", 0, 63, 0 if cut else -(-blocks * 6 // 8)) + b"\xff\xd9"
    one = 0 if cut else -(-blocks * 2 // 8)
    return data + b"".join(_scan(bytes([number, 0]), 0, 63, one) for number in (1, 2, 3)) + b"\xff\xd9"


def _scan(components: bytes, first: int, last: int, zeros: int) -> bytes:
    return _segment(0xDA, bytes([len(components) // 2]) + components + bytes([first, last, 0])) + bytes(zeros)


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content
