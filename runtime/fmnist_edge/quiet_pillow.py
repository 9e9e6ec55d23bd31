"""Keeping Pillow's warnings from standard error: what they say is either harmless or an ImageError here."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_active = 0
_saved = warnings.catch_warnings()


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Ignore warnings inside the block, in several threads at once.

    Python's filters belong to the whole process: were each thread to save and restore them by itself, the last
    one out could bring back a state that was another's. So the first one in saves, and the last one out restores.
    """
    global _active, _saved
    with _lock:
        if _active == 0:
            _saved = warnings.catch_warnings()
            _saved.__enter__()
            warnings.simplefilter("ignore")
        _active += 1
    try:
        yield
    finally:
        with _lock:
            _active -= 1
            if _active == 0:
                _saved.__exit__(None, None, None)
