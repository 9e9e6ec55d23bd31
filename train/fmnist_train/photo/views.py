"""Pictures of photos, as the graph draws them and changed: what heads are trained with. Drawn by several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.model_file.keras_screening import screen_keras_file
from fmnist_train.backend import keras, tf, use_one_thread
from fmnist_train.photo.drawing import rendered, thumbnail
from fmnist_train.photo.jitter import JitterRecipe, blotched, jittered, varied_rule
from fmnist_train.photo.photos import read_photo
from fmnist_train.photo.progress import OnCount
from fmnist_train.photo.taps import DrawingRule, Photo, Plane

Segmenter = Callable[[Plane], Plane]
"""Thumbnails, float32 [n, 96, 96, 3] in 0..255, to mask logits, float32 [n, 96, 96]."""
BATCH: Final = 32  # photos a task

_segmenter: Segmenter  # of a worker process


def open_segmenter(path: Path) -> Segmenter:
    """Return the segmenter in a .keras file as a function. Raises ModelError; no code from the file is run."""
    screen_keras_file(path)
    model = keras.models.load_model(path, compile=False, safe_mode=True)
    size = [None, *model.input_shape[1:]]

    @tf.function(input_signature=[tf.TensorSpec(size, tf.float32)])
    def answer(thumbnails: Any) -> Any:
        return model(thumbnails, training=False)

    return lambda thumbnails: np.asarray(answer(thumbnails).numpy(), np.float32)


def exact_pictures(photos: Sequence[Photo], segmenter: Segmenter, rule: DrawingRule) -> NDArray[np.uint8]:
    """Return the pictures, uint8 [n, 28, 28], that the graph draws, its bypass left out."""
    pictures = []
    for start in range(0, len(photos), BATCH):
        chunk = photos[start : start + BATCH]
        logits = segmenter(np.stack([thumbnail(photo, rule) for photo in chunk]))
        pictures += [rendered(photo, one, rule).picture for photo, one in zip(chunk, logits, strict=True)]
    return np.stack(pictures)


def photo_views(
    paths: Sequence[Path],
    segmenter: Path,
    views: int,
    seed: int,
    recipe: JitterRecipe,
    processes: int = 1,
    on_drawn: OnCount = lambda _count: None,
) -> NDArray[np.uint8]:
    """Return uint8 [1 + views, n, 28, 28]: of each photo the exact picture, then pictures of changed versions.

    View k of photo i depends on the photo, the segmenter, the recipe, the seed, k and i alone.
    """
    tasks = [(start, tuple(paths[start : start + BATCH])) for start in range(0, len(paths), BATCH)]
    draw = partial(_chunk, views=views, seed=seed, recipe=recipe)
    drawn: list[NDArray[np.uint8]] = []
    context = multiprocessing.get_context("spawn")  # a fork would inherit TensorFlow's threads half alive
    with ProcessPoolExecutor(processes, context, _begin, (segmenter,)) as executor:
        for part in executor.map(draw, tasks):
            drawn.append(part)
            on_drawn(sum(one.shape[1] for one in drawn))
    return np.concatenate(drawn, axis=1)


def _begin(segmenter: Path) -> None:
    global _segmenter
    use_one_thread()
    _segmenter = open_segmenter(segmenter)


def _chunk(task: tuple[int, tuple[Path, ...]], views: int, seed: int, recipe: JitterRecipe) -> NDArray[np.uint8]:
    start, paths = task
    rule = DrawingRule()
    photos = [read_photo(path) for path in paths]
    pictures = [exact_pictures(photos, _segmenter, rule)]
    for view in range(views):
        randoms = [np.random.default_rng((seed, view, start + row)) for row in range(len(photos))]
        changed = [jittered(rng, photo, recipe) for rng, photo in zip(randoms, photos, strict=True)]
        logits = _segmenter(np.stack([thumbnail(photo, rule) for photo in changed]))
        pictures.append(
            np.stack(
                [
                    rendered(photo, blotched(rng, one, recipe), varied_rule(rng, rule)).picture
                    for rng, photo, one in zip(randoms, changed, logits, strict=True)
                ]
            )
        )
    return np.stack(pictures)
