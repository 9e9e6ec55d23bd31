"""Every error that fmnist-edge raises on purpose, its exit code, and what makes text from outside safe to print."""

from __future__ import annotations

from typing import ClassVar, Final

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1  # some input failed, or a gate, comparison or verification did not hold
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3  # no usable model or data, or it could not be fetched


class FmnistEdgeError(Exception):
    """Base of all errors of this package: one clear line that says what to do next."""

    exit_code: ClassVar[int] = EXIT_FAILED


class ImageError(FmnistEdgeError):
    """An image that cannot be classified. `code` is a stable, machine-readable word for the cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return (type(self), (self.code, str(self)))


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
        super().__init__(
            f"`fmnist-edge {command}` needs {missing}, which is not installed: pip install 'fmnist-edge[{extra}]'"
        )


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
