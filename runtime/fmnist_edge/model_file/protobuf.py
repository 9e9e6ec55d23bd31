"""Reading the wire format of protobuf (protobuf.dev/programming-guides/encoding), strictly: files may be untrusted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

Fields = dict[int, list[Any]]
"""A message's fields by number, each with all its values: integers, or bytes where the wire has a length."""

_LONGEST_VARINT: Final = 10  # bytes; of 64 bits


def fields_of(data: bytes) -> Fields:
    """Return a message's fields. Raises ValueError if the bytes are no message."""
    fields: Fields = defaultdict(list)
    for number, value in iterate_fields(data):
        fields[number].append(value)
    return fields


def iterate_fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) in the order of the message. Raises ValueError, at the latest at its end."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} is none of an ONNX file")
        if size > end - at:
            raise ValueError("a field is longer than its message")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(data[at : at + _LONGEST_VARINT], 1):
        value |= (byte & 0x7F) << 7 * (count - 1)
        if byte < 0x80:
            return value, at + count
    raise ValueError("a number is cut off or longer than 64 bits")
