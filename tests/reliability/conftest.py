"""What the tests of reliability share: the dataset, a mirror of it, and a disk without room."""

from __future__ import annotations

from tests.runtime.conftest import compressed, dataset, mirror, swept

__all__ = ["compressed", "dataset", "mirror", "swept"]
