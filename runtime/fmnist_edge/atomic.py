"""Files and folders appear whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

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
        is_device = path.exists() and not path.is_file() and not path.is_dir()
        with path.open("wb") if is_device else _replacement(path) as file:
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; name another place") from error


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
    """Open a file without a name, so that a kill leaves nothing; or `temporary` where the system has no such files.

    Either gets the permissions of any other new file.
    """
    nameless = getattr(os, "O_TMPFILE", None)  # Linux 3.11 and newer, and not on every file system
    if nameless is not None and Path("/proc/self/fd").is_dir():
        with contextlib.suppress(OSError):
            return os.fdopen(os.open(temporary.parent, nameless | os.O_RDWR, 0o666), "wb")
    return temporary.open("xb")


_SUFFIX: Final = ".unfinished"
_AT_FDCWD: Final = -100  # of Linux's fcntl.h
_RENAME_EXCHANGE: Final = 2  # of Linux's fs.h


def write_folder_atomically(folder: Path, files: dict[str, bytes], kept: Iterable[str] = ()) -> None:
    """Write `files`, path within the folder to content, as the whole content of `folder`, in one step.

    A folder that is there already is replaced: whether it may be is the caller's to decide. The files and folders in it
    that `kept` names are in the new one too. Missing parents are made.
    Raises OutputError, leaving what was there untouched and no debris; what a killed run left is swept by the next.
    """
    target = Path(os.path.realpath(folder))  # a link to a folder stays a link
    try:
        _check_replaceable(target)
        with _parents_made(target):
            _sweep(target)
            with _staging(target) as staging:
                _fill(staging / "new", files)
                _keep(target, staging / "new", kept)
                _exchange(staging, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write the folder {folder}: {reason}; name another place") from error


@contextlib.contextmanager
def _parents_made(target: Path) -> Iterator[None]:
    """Make missing parents; remove them again if the block fails."""
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def _check_replaceable(target: Path) -> None:
    """Refuse what no rename can replace, in words that say why."""
    if os.path.ismount(target):
        raise OutputError(f"{target} is a mount point, which cannot be replaced in one step; name a folder inside it")
    if Path.cwd().is_relative_to(target):
        raise OutputError(f"you are inside {target}, which is written in one step; name another folder")


@contextlib.contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Give a hidden folder beside `target`, locked while this process lives, and removed at the end."""
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=_SUFFIX))
    try:
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):  # a file system without locks: then a killed run's leftovers stay
                held.enter_context(_lock(staging))
            yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _keep(old: Path, new: Path, names: Iterable[str]) -> None:
    """Link files and whole folders of the old folder into the new one, so that no kill can lose them; or copy them."""
    for name in names:
        source, target = old / name, new / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True, copy_function=_link)
        else:
            _link(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target, follow_symlinks=False)


def _exchange(staging: Path, target: Path) -> None:
    """Move the new folder into place: in one step, or the old one away first, which comes back if that fails."""
    if target.exists() and _swapped(staging / "new", target):
        return
    if target.exists():
        target.rename(staging / "old")
    try:
        (staging / "new").rename(target)
    except BaseException:
        if (staging / "old").exists():
            (staging / "old").rename(target)
        raise


def _swapped(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system or the file system cannot.

    renameat2(2): Linux 3.15, glibc 2.28. Python has no function of its own for it.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def _sweep(target: Path) -> None:
    """Remove what killed runs left beside `target`: staging folders that no living process holds locked."""
    for staging in target.parent.glob(f".{target.name}.*{_SUFFIX}"):
        with contextlib.suppress(OSError), _lock(staging):
            if not target.exists() and (staging / "old").exists():  # it was killed between its two renames
                (staging / "old").rename(target)
            shutil.rmtree(staging)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder that ends with the process. Raises OSError if another process holds it."""
    if sys.platform == "win32":  # folders cannot be locked there: a killed run's leftovers are left alone
        if folder.exists() and any(folder.iterdir()):
            raise OSError("cannot tell whether it is in use")
        yield
    else:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(handle)
