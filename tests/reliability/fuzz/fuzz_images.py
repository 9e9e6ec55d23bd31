"""The fuzzer's way into decoding: `python -m tests.reliability.fuzz.fuzz_images CORPUS -runs=N`."""

from __future__ import annotations

import struct
import sys
import zlib

import atheris

with atheris.instrument_imports(include=["fmnist_edge", "PIL"]):
    from fmnist_edge.decoding import decode
    from fmnist_edge.errors import ImageError
    from fmnist_edge.image_files import read_plain_png
    from fmnist_edge.images import fit
    from fmnist_edge.model_info import LEAST_SIDE

from tests.reliability.fuzz.verdict import in_memory, in_time
from tests.runtime.pictures import CODES

_PNG = b"\x89PNG\r\n\x1a\n"


def one_input(data: bytes) -> None:
    """Read a file as `classify` does, up to the model."""
    with in_time(), in_memory():
        plain = read_plain_png(data)
        assert plain is None or plain.shape == (28, 28)
        try:
            picture = decode(data)
        except ImageError as error:
            assert error.code in CODES, error.code
            assert str(error).isprintable(), str(error)
        else:
            assert picture.mode in ("L", "RGB"), picture.mode
            assert 1 <= max(picture.size) < 2 * LEAST_SIDE, picture.size
            assert fit(picture).shape == (28, 28)


def mended(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a file, and in a PNG mend the sums of its chunks, or nearly none would get past them."""
    data = atheris.Mutate(data, max_size)
    if not data.startswith(_PNG) or seed % 8 == 0:
        return data
    parts, at = [_PNG], len(_PNG)
    while at + 12 <= len(data):
        size = min(struct.unpack(">I", data[at : at + 4])[0], len(data) - at - 12)
        body = data[at + 4 : at + 8 + size]
        parts += [struct.pack(">I", size), body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + size
    return b"".join(parts)[:max_size]


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=mended)
    atheris.Fuzz()
