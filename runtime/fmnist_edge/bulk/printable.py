"""Text from outside, made safe to print: file names and model files can hold what drives a terminal."""

from __future__ import annotations


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
