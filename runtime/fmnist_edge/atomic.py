"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fmnist_edge.errors import OutputError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path` in one step: a reader sees the old file or the new one.

    Missing parent folders are made. Raises OutputError, leaving the old file untouched and no debris.
    """
    with atomic_writer(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Give a file whose content becomes that of `path` in one step when the block ends, or never if it fails.

    For content that comes in pieces; else as `write_atomically`. A device or a pipe is written to directly.
    """
    try:
        with path.open("wb") if _is_device(path) else _replacement(path) as file:
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; choose another place with -o") from error


@contextmanager
def _replacement(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".fmnist-edge-{secrets.token_hex(6)}.tmp")
    try:
        with _scratch_file(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not temporary.exists():
                # A descriptor for the folder, though the path is absolute: without one, Python would link the symlink.
                os.link(f"/proc/self/fd/{file.fileno()}", temporary, src_dir_fd=file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _scratch_file(temporary: Path) -> BinaryIO:
    """Open a file without a name, of which a kill leaves nothing, or `temporary` where the system knows no such files.

    Either gets the permissions of any other new file.
    """
    nameless = getattr(os, "O_TMPFILE", None)  # Linux 3.11 and newer, and not on every file system
    if nameless is not None and Path("/proc/self/fd").is_dir():
        with contextlib.suppress(OSError):
            return os.fdopen(os.open(temporary.parent, nameless | os.O_RDWR, 0o666), "wb")
    return temporary.open("xb")


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()
