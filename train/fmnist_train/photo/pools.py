"""Many composites at once, drawn by several processes; how many changes nothing in what is drawn."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Final

import numpy as np

from fmnist_edge.dataset import Split
from fmnist_train.photo.composites import CompositePool, CompositeRecipe, Compositor, pool
from fmnist_train.photo.progress import OnCount

CHUNK: Final = 1_000  # composites a task

_compositor: Compositor  # of a worker process


def draw_pool(
    split: Split, recipe: CompositeRecipe, count: int, seed: int, processes: int = 1, on_drawn: OnCount | None = None
) -> CompositePool:
    """Return `count` composites of the images of a split; number i depends on split, recipe, seed and i alone."""
    starts = range(0, count, CHUNK)
    draw = partial(_chunk, count=count, seed=seed)
    drawn: list[CompositePool] = []

    def keep(part: CompositePool) -> None:
        drawn.append(part)
        if on_drawn:
            on_drawn(min(len(drawn) * CHUNK, count))

    if processes == 1 or len(starts) == 1:
        _begin(split, recipe)
        for start in starts:
            keep(draw(start))
    else:
        context = multiprocessing.get_context("spawn")  # a fork would inherit TensorFlow's threads half alive
        with ProcessPoolExecutor(processes, context, _begin, (split, recipe)) as executor:
            for part in executor.map(draw, starts):
                keep(part)
    return CompositePool(*(np.concatenate([getattr(part, key) for part in drawn]) for key in CompositePool.FIELDS))


def _begin(split: Split, recipe: CompositeRecipe) -> None:
    global _compositor
    _compositor = Compositor(split.images, split.labels, recipe)


def _chunk(start: int, count: int, seed: int) -> CompositePool:
    return pool(_compositor, range(start, min(start + CHUNK, count)), seed)
