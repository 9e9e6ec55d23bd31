"""Where pictures come from: files and arrays, their formats, the limits of decoding, the quick path for small PNGs.

Of Pillow it imports the C half alone.

Only formats on a short list are decoded, each by its own Pillow plugin: a file cannot reach a decoder that
nobody expects (Ghostscript for EPS, say), and importing one plugin instead of all keeps a cold start short.

A file of a few bytes can claim any size, and some formats take several times what their pixels do. With the limits
here a whole `classify` stays under 300 MB for any file (tests/reliability/test_memory.py).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import _imaging

from fmnist_edge.errors import ImageError
from fmnist_edge.model_info import IMAGE_SIDE

if TYPE_CHECKING:
    import PIL.Image

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | PIL.Image.Image | NDArray[np.uint8 | np.bool_]"
"""A path, the bytes of an image file, a file opened in binary mode, a PIL image, or an array (see `picture_array`)."""

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
    (rb"....ftyp(?:hei|hev|mif1|msf1)", "Heif"),
)
# What people have and is not decoded here: it deserves a better answer than "not an image".
_FOREIGN: Final = (
    (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*|<![^>]*>\s*)*<svg", "an SVG drawing"),
    (rb"%PDF", "a PDF document"),
    (rb"%!PS", "a PostScript document"),
    (rb"8BPS", "a Photoshop file"),
    (rb"....ftyp(?:iso|mp4|M4V|qt  |avc1|3g|dash)|\x1aE\xdf\xa3|RIFF....AVI ", "a video; save one frame of it"),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|II\x55\0", "a camera's raw file"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (rb"\0\0\x01\0", "an icon"),
    (rb"\x93NUMPY", "a numpy array; load it and pass the array from Python"),
)
SUPPORTED: Final = "PNG, JPEG, WebP, GIF, BMP, TIFF, PPM, AVIF or HEIC"


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
            raise ImageError(
                "not-an-image", f"not supported: {what}" + ("" if ";" in what else "; convert it to PNG or JPEG")
            )
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
        is_address = re.match(r"[a-z][a-z0-9+.-]+://", os.fspath(path))
        hint = ": this is an address; download it first, and name the file" if is_address else ""
        raise ImageError("missing-file", f"no such file{hint}") from error
    except IsADirectoryError as error:
        raise ImageError("unreadable-file", _what_it_is(stat.S_IFDIR)) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError("unreadable-file", f"cannot read the file: {reason}") from error


def read_stream(stream: IO[bytes]) -> bytes:
    """Return all bytes of a binary file that is open. Raises ImageError: unreadable-file, too-large or wrong-type."""
    try:
        data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it is closed, or text that is not UTF-8
        closed = getattr(error, "errno", None) == errno.EBADF
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(
            "unreadable-file", "standard input is closed" if closed else f"cannot read it: {reason}"
        ) from error
    if not isinstance(data, bytes):
        raise ImageError("wrong-type", "expected a file opened in binary mode: open(path, 'rb')")
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


_CHANNELS: Final = (1, 2, 3, 4)


def picture_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the array of one picture as uint8 [height, width] or [height, width, 2..4].

    Accepts uint8 0..255 or bool (False black, True white): [height, width], or [height, width, channels] with 1
    (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA) channels, or either with a leading dimension of 1.
    Raises ImageError (wrong-array) for anything else.
    """
    pixels = array * np.uint8(255) if array.dtype == np.bool_ else array
    if pixels.ndim in (3, 4) and pixels.shape[0] == 1 and (pixels.ndim == 4 or pixels.shape[2] not in _CHANNELS):
        pixels = pixels[0]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in _CHANNELS)
    if pixels.dtype != np.uint8 or not is_picture or pixels.size == 0:
        expected = "uint8 [height, width] or [height, width, channels], 0..255"
        raise ImageError("wrong-array", f"expected {expected}, got {array.dtype} {list(array.shape)}; {_hint(array)}")
    return pixels


def _hint(array: NDArray[Any]) -> str:
    """Say how to turn an array into a picture."""
    if array.size == 0:
        return "it holds no pixel"
    if np.issubdtype(array.dtype, np.floating):
        return "(array * 255).astype(numpy.uint8) if its values lie in 0..1"
    if array.dtype not in (np.uint8, np.bool_):
        return "array.astype(numpy.uint8) if its values lie in 0..255"
    if array.ndim == 3 and array.shape[0] in _CHANNELS and array.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE):
        return "array.transpose(1, 2, 0) if the channels come first"
    return "classify takes one picture; predict takes uint8 [n, 28, 28]"


# More pixels than this are refused (of a JPEG, those of its reduced decoding), unless a caller sets another limit.
MAX_PIXELS: Final = 25_000_000
# Memory that decoding may take for each pixel of the limit: those decoded and the file, which is in memory as well.
BYTES_A_PIXEL: Final = 7.5
# libjpeg goes through all of a picture for every scan. Encoders write up to 18 (a progressive CMYK picture by
# libjpeg's own script); a file of a megabyte can hold thousands and take hours.
MAX_SCANS: Final = 100

# Bytes for each pixel, all in all, of those that decode on their own: libwebp's two canvases and what it works on (12.0
# measured with 24 million pixels); libavif's planes and two copies (9.2 measured with 8 bits and halved colour, 11.6
# with transparency; more bits and full colour take 4 more); libheif's planes and a copy (7.2 measured with 12 million
# pixels, 8.0 with transparency).
_WHOLE_COST: Final = {"WEBP": 12.0, "AVIF": 14.0, "HEIF": 7.5}
_MODE_COST: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # all others take 4
_TIFF_TILE_SIDES: Final = (322, 323)  # TIFF 6.0, section 15: TileWidth, TileLength


_HOW_TO_ALLOW: Final = "reduce the picture first, or raise the limit (--max-pixels, max_pixels=)"


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Raise ImageError if a picture has no pixel, or more than `max_pixels`."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageError("unreadable-image", f"a picture of {width}x{height} holds no pixel")
    if width * height > max_pixels:
        raise ImageError("too-large", f"{width}x{height} is more than {max_pixels:,} pixels; {_HOW_TO_ALLOW}")


def check_file(image: PIL.Image.Image, data: bytes, full_size: tuple[int, int], max_pixels: int) -> None:
    """Raise ImageError if decoding an opened file would take too much memory or time.

    `full_size` is that of the file; the image's own may be smaller, where a JPEG is decoded at reduced scale.
    """
    check_size(image.size, max_pixels)
    if image.format == "TIFF":
        _check_tiles(image, max_pixels)
    if image.format == "JPEG" and data.count(_START_OF_SCAN) > MAX_SCANS:  # with those of a thumbnail
        raise ImageError("too-large", f"a JPEG of more than {MAX_SCANS} scans; save the picture anew")
    copies = 2 if image.format == "WEBP" else 1  # Pillow hands libwebp a copy
    cost = _WHOLE_COST.get(str(image.format)) or _MODE_COST.get(image.mode, 4)
    needed = copies * len(data) + image.width * image.height * cost + _held_by_libjpeg(image, data, full_size)
    if needed > BYTES_A_PIXEL * max_pixels:
        raise ImageError(
            "too-large",
            f"{full_size[0]}x{full_size[1]} pixels as {image.format} take {needed / 1e6:.0f} MB to decode, more than "
            f"{BYTES_A_PIXEL * max_pixels / 1e6:.0f}; save it as a plain JPEG, {_HOW_TO_ALLOW}",
        )


def _held_by_libjpeg(image: PIL.Image.Image, data: bytes, full_size: tuple[int, int]) -> int:
    """Return the bytes of coefficients that libjpeg holds where a picture comes in several scans.

    16 bits for each sample of each component, at full size even where the picture is decoded at reduced scale.
    """
    if image.format != "JPEG" or not (image.info.get("progressive") or _has_many_scans(data)):
        return 0
    sampling = [(across, down) for _, across, down, _ in getattr(image, "layer", ())] or [(1, 1)]
    largest = max(across for across, _ in sampling) * max(down for _, down in sampling)
    samples = sum(across * down for across, down in sampling) / max(1, largest)
    return int(2 * full_size[0] * full_size[1] * samples)


def _check_tiles(image: PIL.Image.Image, max_pixels: int) -> None:
    """Refuse tiles larger than a picture may be: libtiff decodes each whole, however small the picture."""
    tags = getattr(image, "tag_v2", {})
    width, height = (tags.get(side, 1) for side in _TIFF_TILE_SIDES)
    if not (isinstance(width, int) and isinstance(height, int)):
        raise ImageError("unreadable-image", "damaged picture (the size of its tiles is not a number)")
    check_size((max(1, width), max(1, height)), max_pixels)


# Markers of ITU-T T.81, table B.1.
_START_OF_SCAN: Final = b"\xff\xda"
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})  # without a length after them


def _has_many_scans(data: bytes) -> bool:
    """Tell whether a JPEG that is not progressive comes in several scans: its first lacks some of the components.

    libjpeg decides by the same rule whether it must hold the whole picture (T.81, B.2.2 and B.2.3). A file without a
    readable frame and scan counts as one: it will not be decoded anyway.
    """
    components, at = 0, 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 < len(data):
        marker = data[at + 1]
        if data.startswith(_START_OF_SCAN, at):
            return data[at + 4] < components
        if marker in _FRAMES and at + 9 < len(data):
            components = data[at + 9]
        if marker == 0xFF:  # padding
            at += 1
        else:
            at += 2 if marker in _ALONE else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


# The quick path: plain grey PNG of 28x28 pixels, as folders of the dataset hold them, without Pillow's Python half.
# Pillow's C decoder makes the pixels, so they are the same; what is saved is everything around it, which for so small
# a picture is most of the work. Measured: 23 microseconds instead of 52, and 25 ms of a cold start.
_BOX: Final = (0, 0, IMAGE_SIDE, IMAGE_SIDE)
_PIXELS: Final = IMAGE_SIDE * IMAGE_SIDE
# The signature and the whole first chunk: 28x28, 8 bits, grey, not interlaced (w3.org/TR/png-3, 5.2 and 11.2.1).
_BEGIN: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x1c\0\0\0\x1c\x08\0\0\0\0Wf\x80H"
_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
_DATA: Final = len(_BEGIN) + 8  # where the pixels' chunk has its data: after its length and name


def read_plain_png(data: bytes) -> NDArray[np.uint8] | None:
    """Return the pixels, uint8 [28, 28], of a grey PNG that consists of them alone; None for any other file.

    None does not mean damaged: it means that `decoding.decode` should look.
    """
    end = len(data) - len(_END) - 4  # before the pixels' checksum, which Pillow does not look at either
    if not (data.startswith(_BEGIN) and data.endswith(_END) and data[_DATA - 4 : _DATA] == b"IDAT"):
        return None
    if int.from_bytes(data[_DATA - 8 : _DATA - 4], "big") != end - _DATA:
        return None
    levels = _decoded(data[_DATA:end])
    return None if levels is None else np.frombuffer(levels, np.uint8).reshape(IMAGE_SIDE, IMAGE_SIDE)


def _decoded(stream: bytes) -> bytes | None:
    """Return the 784 grey levels of a zlib stream of filtered rows, or None if it does not give them.

    These are the calls of `PIL.Image.frombytes` and `tobytes`, which Pillow does not document: should one change, every
    file takes the long way, and the test of this module says so.
    """
    try:
        canvas = _imaging.new("L", (IMAGE_SIDE, IMAGE_SIDE))
        decoder = _imaging.zip_decoder("L", "L", 0)
        decoder.setimage(canvas, _BOX)
        if decoder.decode(stream) != (-1, 0):
            return None
        encoder = _imaging.raw_encoder("L", "L", 0, 1)
        encoder.setimage(canvas, _BOX)
        levels: bytes = encoder.encode(_PIXELS)[2]
    except Exception:  # damaged bytes, or another Pillow
        return None
    return levels if len(levels) == _PIXELS else None
