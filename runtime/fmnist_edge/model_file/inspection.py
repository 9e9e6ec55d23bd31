"""Everything that can be known about a model file without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fmnist_edge.model_file.info import EMBEDDED_CLASSIFIER, facts_from_metadata, sha256_of
from fmnist_edge.model_file.session import open_session


def inspect_model(model: Path | None = None) -> dict[str, Any]:
    """Return path, bytes, SHA-256 and the metadata of a classifier file (the embedded one by default).

    Raises ModelError if it is missing or breaks the contract.
    """
    path = model or EMBEDDED_CLASSIFIER
    facts = facts_from_metadata(open_session(path).get_modelmeta().custom_metadata_map)
    first = [key for key in ("name", "version", "kind", "precision") if key in facts]
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        **{key: facts[key] for key in (*first, *sorted(facts.keys() - set(first)))},
    }
