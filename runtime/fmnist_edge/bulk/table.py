"""A result as a row of a table: the columns that CSV and a lake's Parquet files share."""

from __future__ import annotations

from typing import Any, Final

from fmnist_edge.bulk.printable import printable
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
