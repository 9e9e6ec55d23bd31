"""Parquet files for the tests of the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet


def table(path: Path, /, group: int | None = None, **columns: list[Any]) -> Path:
    """Write columns to a Parquet file, with `group` rows in a row group."""
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path, row_group_size=group)
    return path
