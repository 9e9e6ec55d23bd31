"""Writing pictures into a folder as cameras, scanners and copying programs do: at once, in pieces, or renamed in."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import PIL.Image

from fmnist_edge.dataset import load_split
from tests.runtime.pictures import encoded

PHOTOS: Final = sorted((Path(__file__).parents[2] / "samples" / "photos").glob("*.jpg"))
WRITERS: Final = 4  # at the same time


@dataclass(frozen=True)
class Drop:
    """One file that will appear."""

    path: str
    content: bytes
    way: str
    """`whole`, `renamed`, `pieces`, or `paused`: pieces with one pause longer than what counts as settled."""


def drops(folder: Path, count: int, choice: random.Random) -> list[Drop]:
    """Return what is dropped: images of the dataset, and a photo now and then; some under names that are no text."""
    images = load_split("test").images
    found = []
    for number in range(count):
        photo = choice.random() < 0.03
        name = f"{number:05d}.{'jpg' if photo else 'png'}".encode()
        if choice.random() < 0.02:
            name = b"\xff \n\x1b[31m" + name
        content = choice.choice(PHOTOS).read_bytes() if photo else encoded(PIL.Image.fromarray(images[number]))
        way = choice.choices(["whole", "renamed", "pieces", "paused"], [40, 30, 28, 2])[0]
        found.append(Drop(os.fsdecode(os.fsencode(folder) + b"/" + name), content, way))
    return found


def drop_all(items: Sequence[Drop], settle: float, seed: int) -> None:
    """Write all files, several at once. Returns when the last one is complete."""
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda item: _drop(item, settle, random.Random(f"{seed} {item.path!r}")), items))


def _drop(item: Drop, settle: float, choice: random.Random) -> None:
    if item.way == "whole":
        Path(item.path).write_bytes(item.content)
    elif item.way == "renamed":
        hidden = Path(item.path).with_name(f".{Path(item.path).name}.upload")
        hidden.write_bytes(item.content)
        hidden.rename(item.path)
    else:
        _write_pieces(item, settle, choice)


def _write_pieces(item: Drop, settle: float, choice: random.Random) -> None:
    cuts = np.sort([choice.randrange(1, len(item.content)) for _ in range(3)]).tolist()
    long_pause = choice.randrange(3) if item.way == "paused" else -1
    with open(item.path, "wb") as file:  # noqa: PTH123 (a path that is no text)
        for place, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(item.content)], strict=True)):
            file.write(item.content[start:end])
            file.flush()
            time.sleep(2.5 * settle if place == long_pause else choice.uniform(0, settle / 10))
