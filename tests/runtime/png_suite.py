"""Every kind of PNG that the standard allows (w3.org/TR/png-3, table 11.1), as Willem van Schaik's PngSuite has them.

Written by hand, since no encoder at hand writes interlaced files or 1 to 4 bits a sample in all their forms.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 32
GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
_CHANNELS: Final = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}
KINDS: Final = (
    *itertools.product([GREY], [1, 2, 4, 8, 16]),
    *itertools.product([COLOUR, GREY_ALPHA, COLOUR_ALPHA], [8, 16]),
    *itertools.product([PALETTE], [1, 2, 4, 8]),
)
# Adam7: first column, first row, steps (11.3.3 of the standard).
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def every_png() -> Iterator[bytes]:
    """Yield a file of each kind, plain and interlaced, with and without a transparent colour."""
    for (kind, bits), interlaced, transparent in itertools.product(KINDS, (False, True), (False, True)):
        if not (transparent and kind in (GREY_ALPHA, COLOUR_ALPHA)):
            yield png(kind, bits, interlaced=interlaced, transparent=transparent)


def levels(bits: int) -> NDArray[np.uint8]:
    """Return what the pictures show: a ramp from black to white, uint8 [SIDE, SIDE], as coarse as the bits make it."""
    steps = (1 << min(bits, 8)) - 1
    ramp = np.linspace(0, steps, SIDE).round() * (255 / steps)
    return np.tile(ramp.astype(np.uint8), (SIDE, 1))


def png(kind: int, bits: int, *, interlaced: bool = False, transparent: bool = False) -> bytes:
    """Return a picture of a ramp; with `transparent`, its black (of a palette: the first entry) is marked as such."""
    samples = _samples(kind, bits)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, bits, kind, 0, 0, int(interlaced))
    passes = [samples[row::down, column::across] for column, row, across, down in _PASSES] if interlaced else [samples]
    chunks = [(b"IHDR", header)]
    if kind == PALETTE:
        steps = (1 << bits) - 1
        chunks.append((b"PLTE", b"".join(bytes([round(255 * entry / steps)] * 3) for entry in range(steps + 1))))
    if transparent:
        chunks.append((b"tRNS", b"\0" if kind == PALETTE else bytes(2 * _CHANNELS[kind])))
    chunks += [(b"IDAT", zlib.compress(b"".join(_rows(part, bits) for part in passes))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in chunks)


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk with its length and its sum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _samples(kind: int, bits: int) -> NDArray[np.uint16]:
    """Return uint16 [SIDE, SIDE, channels] in 0..2**bits - 1; what is transparent is fully so nowhere."""
    steps = (1 << bits) - 1
    ramp = np.rint(np.tile(np.linspace(0, min(steps, 255), SIDE), (SIDE, 1))) * (257 if bits == 16 else 1)
    colours = 3 if kind in (COLOUR, COLOUR_ALPHA) else 1
    planes = [ramp] * colours + [np.full_like(ramp, steps)] * (_CHANNELS[kind] - colours)
    return np.stack(planes, axis=-1).astype(np.uint16)


def _rows(samples: NDArray[np.uint16], bits: int) -> bytes:
    """Pack rows, each behind filter type 0."""
    if samples.size == 0:
        return b""
    flat = samples.reshape(len(samples), -1)
    if bits == 16:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in flat)
    digits = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return b"".join(b"\0" + np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in digits)
