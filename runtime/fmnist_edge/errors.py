"""Every error that fmnist-edge raises on purpose, its exit code, and what makes text from outside safe to print."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    pass

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1  # some input failed, or a gate, comparison or verification did not hold
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3  # no usable model or data, or it could not be fetched


class FmnistEdgeError(Exception):
    """Base of all errors of this package: one clear line that says what to do next."""

    exit_code: ClassVar[int] = EXIT_FAILED


class ImageError(FmnistEdgeError):
    """An image that cannot be classified.

    `code` is a stable, machine-readable word for the cause, `message` says it to people; `path` is the file's name
    where it is known, and then the error's text begins with it.
    """

    def __init__(self, code: str, message: str, path: str | None = None) -> None:
        super().__init__(message if path is None else f"{path}: {message}")
        self.code = code
        self.message = message
        self.path = path

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str, str | None]]:
        return (type(self), (self.code, self.message, self.path))


class GateError(FmnistEdgeError):
    """A measured figure is past its limit: nothing was written."""


class OutputError(FmnistEdgeError):
    """An output file could not be written; what was there before is untouched."""


class UsageError(FmnistEdgeError):
    """The arguments of a call contradict each other or miss something."""

    exit_code = EXIT_USAGE


class ModelError(FmnistEdgeError):
    """A model file that is missing, damaged, or does not keep the contract."""

    exit_code = EXIT_UNAVAILABLE


class DataError(FmnistEdgeError):
    """The dataset is missing, damaged, or could not be fetched."""

    exit_code = EXIT_UNAVAILABLE


class ClusterError(FmnistEdgeError):
    """A Ray cluster that cannot be reached or started, or that went away."""

    exit_code = EXIT_UNAVAILABLE


class MissingExtraError(FmnistEdgeError):
    """A command needs an optional part of the package that is not installed."""

    exit_code = EXIT_UNAVAILABLE

    def __init__(self, command: str, extra: str, missing: str) -> None:
        super().__init__(f"`fmnist-edge {command}` needs {missing}, which is not installed: {install_hint(extra)}")


@cache
def install_hint(extra: str) -> str:
    """Return the command that adds an extra of this package, from where the package itself was installed.

    That is the index, a checkout or a wheel (PEP 610 says which), or the checkout that runs without being installed.
    """
    import shutil
    from pathlib import Path

    pip = shutil.which("pip")
    beside = pip is not None and Path(pip).parent == Path(sys.executable).parent
    command = "pip install" if beside else f"{_quoted(sys.executable)} -m pip install"
    return f"{command} {_source(extra)}"


def _source(extra: str) -> str:
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    checkout = Path(__file__).parents[2]
    try:
        direct = json.loads(distribution("fmnist-edge").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        direct = (
            {"url": checkout.as_uri(), "dir_info": {"editable": True}}
            if (checkout / "pyproject.toml").is_file()
            else {}
        )
    url = str(direct.get("url", ""))
    place = Path(url2pathname(urlparse(url).path))
    if "vcs_info" in direct:
        return _quoted(f"fmnist-edge[{extra}] @ {direct['vcs_info'].get('vcs', 'git')}+{url}")
    if url.startswith("file:") and place.exists():
        editable = "-e " if direct.get("dir_info", {}).get("editable") else ""
        return editable + _quoted(f"{place}[{extra}]")
    return _quoted(f"fmnist-edge[{extra}]")


def _quoted(text: str) -> str:
    """Return an argument as this system's shell takes it."""
    import os
    import shlex

    return f'"{text}"' if os.name == "nt" else shlex.quote(text)


def printable(text: str) -> str:
    """Return text that is safe on a terminal and in one line.

    Control characters, line ends, invisible marks and undecodable bytes become escapes such as \\n, \\x1b, \\u202e
    and \\xff.
    """
    if text.isprintable():  # most are, and a character at a time is slow
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that was not UTF-8 (PEP 383)
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
