"""Labels as people write them: `T-shirt/top`, `t-shirt-top`, `ankle boot`, `9`; and maps from their own names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fmnist_edge.contract import LABELS
from fmnist_edge.errors import UsageError


def _bare(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


_INDEX: Final = {
    form: index
    for index, label in enumerate(LABELS)
    for form in (_bare(label), str(index), f"{index}{_bare(label)}")  # the last as in samples/0-t-shirt-top.png
}


def label_index(name: str) -> int | None:
    """Return the index of a label, 0..9, or None if it is none.

    Case, blanks and punctuation do not matter; the index itself is accepted, and `0-t-shirt-top` too.
    """
    return _INDEX.get(_bare(name))


def parse_label(name: str) -> int:
    """Return the index of a label, 0..9. Raises UsageError if it is none."""
    index = label_index(name)
    if index is None:
        raise UsageError(f"{name.strip()!r} is no label: choose from {', '.join(LABELS)}, or 0..9")
    return index


def parse_map(text: str) -> dict[str, tuple[int, ...]]:
    """Read `name=label[|label...],...` as {name: labels 0..9}; `name=` alone maps to no label: leave it out.

    Raises UsageError.
    """
    mapping: dict[str, tuple[int, ...]] = {}
    for entry in text.split(","):
        name, equals, labels = (part.strip() for part in entry.partition("="))
        if not name or not equals:
            raise UsageError(f"cannot read {entry.strip()!r} in the map: write name=label, or name=label|label")
        if name in mapping:
            raise UsageError(f"the map names {name!r} twice: write name=label|label to accept several labels")
        mapping[name] = _distinct([parse_label(label) for label in labels.split("|")] if labels else [])
    return mapping


def parse_group(text: str) -> tuple[int, ...]:
    """Read `label,label,...` as labels 0..9 that are taken as one. Raises UsageError for fewer than two."""
    group = _distinct([parse_label(label) for label in text.split(",")])
    if len(group) < 2:
        raise UsageError(f"forgiving {text!r} has no effect: name two labels or more, separated by commas")
    return group


def _distinct(labels: Sequence[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(labels))
