"""Keeping what libraries print from standard error: it is either harmless or an error of this package.

Python's warning filters and the file descriptor of standard error belong to the whole process: were each thread to
save and restore them by itself, the last one out could bring back what was another's. So the first one in saves,
and the last one out restores.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Final

_STANDARD_ERROR: Final = 2


class _Shared:
    """A state of the process that is changed while at least one thread is inside."""

    def __init__(self, change: Callable[[ExitStack], None]) -> None:
        self._change = change
        self._undo = ExitStack()
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._change(self._undo)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._undo.close()


def _ignore_warnings(undo: ExitStack) -> None:
    undo.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")


def _mute_standard_error(undo: ExitStack) -> None:
    try:
        saved = os.dup(_STANDARD_ERROR)
    except OSError:  # it is closed already
        return
    _flush()
    undo.callback(os.close, saved)
    undo.callback(os.dup2, saved, _STANDARD_ERROR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STANDARD_ERROR)
    os.close(nowhere)


_warnings: Final = _Shared(_ignore_warnings)
_standard_error: Final = _Shared(_mute_standard_error)

quiet_pillow: Final = _warnings.hold
"""Ignore Python's warnings inside the block, in several threads at once."""

quiet_standard_error: Final = _standard_error.hold
"""Mute standard error inside the block, also what C code writes there."""

quiet_libtiff: Final = quiet_standard_error
"""The same, for libtiff: it prints there what is wrong with a file, and nothing else stops it."""


_TENSORFLOW_LOG_LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"  # 0 (all) to 3 (errors only)


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keep TensorFlow's C++ log off standard error while it is imported in this block, and afterwards.

    Its variable silences it once it has begun, not while it loads (TensorFlow 2.21 logs before its own log is set up),
    so standard error is muted meanwhile. Who sets the variable to less than 3 gets to hear it.
    """
    wants_silence = os.environ.setdefault(_TENSORFLOW_LOG_LEVEL, "3") == "3"
    with quiet_standard_error() if wants_silence else nullcontext():
        yield


_GPU_DISCOVERY: Final = b"GPU device discovery failed"


@contextmanager
def quiet_onnxruntime() -> Iterator[None]:
    """Drop one line from what is printed on standard error while onnxruntime is imported in this block.

    Where a graphics card is no PCI device (Raspberry Pi, Jetson, WSL, virtual machines), onnxruntime 1.23 and 1.24 warn
    of it before any setting can stop them, and people take it for a failure. Everything else is printed, a bit later.
    """
    try:
        kept, held = os.dup(_STANDARD_ERROR), os.memfd_create("stderr")
    except (OSError, AttributeError):  # it is closed, or this is not Linux, where the warning comes from
        yield
        return
    _flush()
    os.dup2(held, _STANDARD_ERROR)
    try:
        yield
    finally:
        _flush()
        os.dup2(kept, _STANDARD_ERROR)
        with os.fdopen(held, "rb") as file, suppress(OSError):  # not of interest to anybody any more, as at `2>&-`
            file.seek(0)
            os.write(_STANDARD_ERROR, b"".join(line for line in file if _GPU_DISCOVERY not in line))
        os.close(kept)


def _flush() -> None:
    if sys.stderr:
        sys.stderr.flush()
