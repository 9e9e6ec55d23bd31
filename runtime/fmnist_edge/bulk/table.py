"""A result as a row of a table: the columns that CSV and a lake's Parquet files share."""

from __future__ import annotations

from typing import Any, Final

from fmnist_edge.bulk.result import DEFAULT_TOP_K, Result

FIELDS: Final = ("path", "label", "index", "confidence", "top", "error_code", "error_message")


def table_row(result: Result, *, top_k: int = DEFAULT_TOP_K, min_confidence: float | None = None) -> dict[str, Any]:
    """Return the values of FIELDS: `top` is JSON, path and message are escaped, what there is not is None.

    `top_k` and `min_confidence` as for `Result.as_record`.
    """
    import json  # not above: rows of text do without

    record = result.as_record(top_k=top_k, min_confidence=min_confidence)
    error = record["error"]
    return {
        "path": printable(result.path),
        "label": record["label"],
        "index": record["index"],
        "confidence": record["confidence"],
        "top": json.dumps(record["top"]),
        "error_code": error and error["code"],
        "error_message": error and printable(error["message"]),
    }


def printable(text: str) -> str:
    """Return text that is safe on a terminal and in one line.

    Control characters, line ends, invisible marks and undecodable bytes become escapes such as \\n, \\x1b, \\u202e
    and \\xff.
    """
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that was not UTF-8 (PEP 383)
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
