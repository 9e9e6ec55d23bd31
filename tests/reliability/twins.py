"""Old files with a second name each: whoever writes into one, instead of putting a new file in its place, is seen."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_OLD: Final = "old"


def lay_old_files(folder: Path, twins: Path, names: Iterable[str]) -> None:
    """Write files into `folder` that lie in `twins`, too."""
    for place in (folder, twins):
        place.mkdir(parents=True, exist_ok=True)
    for name in names:
        (twins / name).write_text(_OLD)
        os.link(twins / name, folder / name)


def not_replaced(folder: Path, twins: Path) -> list[str]:
    """Return the files that were written into, or are still the old ones: a kill could have left half of them."""
    return [
        twin.name
        for twin in sorted(twins.iterdir())
        if twin.read_text(errors="replace") != _OLD or twin.samefile(folder / twin.name)
    ]
