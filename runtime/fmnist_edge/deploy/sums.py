"""SHA256SUMS: the list of a kit's files in the form that `sha256sum --check` reads."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import Final

SUMS: Final = "SHA256SUMS"
_LINE: Final = re.compile(r"([0-9a-f]{64})  (\S.*)")


def sums_of(files: dict[str, bytes]) -> bytes:
    """Return the content of SHA256SUMS for some files, path to content, sorted by path."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode()


def parse_sums(content: bytes) -> dict[str, str]:
    """Return path to SHA-256. Raises ValueError on anything but such lines, or on a path that leads elsewhere."""
    sums = {}
    for line in content.decode("utf-8").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or not _stays_inside(match[2]):
            raise ValueError(f"{SUMS} has the line {line[:100]!r}")
        sums[match[2]] = match[1]
    return sums


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name
