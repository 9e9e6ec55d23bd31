"""The user's cache folder, in the place that each platform has for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

APPLICATION = "fmnist-edge"


def home() -> Path | None:
    """Return the user's home folder, or None where there is none (a container's nameless user)."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def user_cache(platform: str = sys.platform) -> Path | None:
    """Return this package's cache folder, which may not exist yet; None if the user has no home.

    Linux and others: $XDG_CACHE_HOME (if absolute, as the XDG Base Directory Specification asks) or ~/.cache.
    macOS: ~/Library/Caches. Windows: %LOCALAPPDATA%.
    """
    base = _windows_base() if platform == "win32" else _mac_base() if platform == "darwin" else _xdg_base()
    return base / APPLICATION if base else None


def _xdg_base() -> Path | None:
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else _below_home(".cache")


def _mac_base() -> Path | None:
    return _below_home("Library", "Caches")


def _windows_base() -> Path | None:
    given = os.environ.get("LOCALAPPDATA")
    return Path(given) if given else _below_home("AppData", "Local")


def _below_home(*parts: str) -> Path | None:
    folder = home()
    return folder.joinpath(*parts) if folder else None
