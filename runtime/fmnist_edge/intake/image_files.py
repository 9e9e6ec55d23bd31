"""Reading the bytes of an image file, and telling by its first bytes which format it is.

Only formats on a short list are decoded, each by its own Pillow plugin: a file cannot reach a decoder that
nobody expects (Ghostscript for EPS, say), and importing one plugin instead of all keeps a cold start short.
"""

from __future__ import annotations

import os
import re
import stat
from typing import BinaryIO, Final

from fmnist_edge.errors import ImageError

# An image file larger than this is refused before it is read. The largest picture that is decoded takes 100 MB as
# an uncompressed file with 4 bytes a pixel; compressed ones take far less.
MAX_FILE_BYTES: Final = 128 * 2**20

# What a file begins with, and the Pillow plugin that decodes it (the signatures are those of each format's
# specification; of PPM's family the binary and plain maps P1..P6). As patterns: only those tried are compiled.
_SIGNATURES: Final = (
    (rb"\x89PNG\r\n\x1a\n", "Png"),
    (rb"\xff\xd8\xff", "Jpeg"),
    (rb"RIFF....WEBPVP8", "WebP"),
    (rb"GIF8[79]a", "Gif"),
    (rb"BM", "Bmp"),
    (rb"II[*+]\0|MM\0[*+]", "Tiff"),
    (rb"P[1-6]\s", "Ppm"),
    (rb"....ftypavi[fs]", "Avif"),
)
# What people do have and is not decoded here: it deserves a better answer than "not an image".
_FOREIGN: Final = (
    (rb"....ftyp(?:hei|hev|mif1|msf1)", "a HEIC picture"),
    (rb"(?:\xef\xbb\xbf)?\s*<(?:svg|\?xml)", "an SVG drawing"),
    (rb"%PDF", "a PDF document"),
    (rb"%!PS", "a PostScript document"),
    (rb"8BPS", "a Photoshop file"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (rb"\0\0\x01\0", "an icon"),
    (rb"\x93NUMPY", "a numpy array; load it and pass the array from Python"),
)
SUPPORTED: Final = "PNG, JPEG, WebP, GIF, BMP, TIFF, PPM or AVIF"


def recognise(data: bytes) -> str:
    """Return the name of the Pillow plugin for an image file's bytes.

    Raises ImageError: empty-file, or not-an-image.
    """
    if not data:
        raise ImageError("empty-file", "the file is empty")
    for signature, plugin in _SIGNATURES:
        if re.match(signature, data, re.DOTALL):
            return plugin
    for signature, what in _FOREIGN:
        if re.match(signature, data, re.DOTALL):
            raise ImageError("not-an-image", f"not supported: {what}; convert it to PNG or JPEG")
    raise ImageError("not-an-image", f"not an image: expected {SUPPORTED}")


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a regular file; never waits on a pipe and never reads a device.

    Raises ImageError: missing-file, unreadable-file or too-large.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:  # Path.open takes no opener
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("unreadable-file", _what_it_is(status.st_mode))
            if status.st_size > MAX_FILE_BYTES:
                raise too_many_bytes()
            return file.read(status.st_size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError("missing-file", "no such file") from error
    except IsADirectoryError as error:
        raise ImageError("unreadable-file", _what_it_is(stat.S_IFDIR)) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError("unreadable-file", f"cannot read the file: {reason}") from error


def read_stream(stream: BinaryIO) -> bytes:
    """Return all bytes of a stream, as of standard input. Raises ImageError: unreadable-file or too-large."""
    try:
        data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ImageError("unreadable-file", f"cannot read it: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise too_many_bytes()
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file as usual, but never block: opening a pipe that nobody writes to would wait for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _what_it_is(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "is a folder, not a file; on the command line, -r classifies the files in it"
    if stat.S_ISFIFO(mode):
        return "is a pipe, not a file; an image can be piped to standard input instead"
    return "is a device, not a file"


def too_many_bytes() -> ImageError:
    """Return the error for a file above MAX_FILE_BYTES."""
    return ImageError("too-large", f"larger than {MAX_FILE_BYTES // 2**20} MiB; reduce the picture first")
