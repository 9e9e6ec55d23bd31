"""Pictures for the tests of decoding: any form of file, and files that are broken in known ways."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

# Every code that an ImageError of decoding may carry (docs/classify.md lists them).
CODES = {
    "missing-file",
    "unreadable-file",
    "empty-file",
    "not-an-image",
    "unreadable-image",
    "too-large",
    "wrong-type",
    "wrong-array",
}
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "BMP": {},
    "GIF": {},
    "TIFF": {},
    "PPM": {},
    "WEBP": {"lossless": True},
}


def garment() -> NDArray[np.uint8]:
    """Return a 28x28 picture on black whose every grey level tells where it came from."""
    picture = np.zeros((28, 28), np.uint8)
    picture[3:25, 6:22] = np.random.default_rng(3).integers(40, 256, (22, 16))
    return picture


def heic(picture: PIL.Image.Image | NDArray[Any], **options: Any) -> bytes:
    """Return the bytes of a HEIC file, as iPhones write them. Needs the extra [heic]."""
    import pillow_heif

    image = PIL.Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, **options)
    return file.getvalue()


def encoded(picture: PIL.Image.Image | NDArray[Any], form: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image file."""
    image = PIL.Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file of a few bytes that claims to be of this size."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
