"""Fashion-MNIST images redrawn as the photo model draws photos: what teaches a head about photos without any photo.

Catalogue garments hang in one pose and are cut out without a flaw. Here, whole batches at a time, sleeves are spread,
the cloth is coloured anew and its tones stretched as the drawing does, the mask gets the flaws of a segmenter, and
shoes come in pairs. Constants are the first study's (its "pool B"), but for pairs of shoes, which it had not tried.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.dataset import Split
from fmnist_train.photo.cloth import toned
from fmnist_train.photo.garments import SHOES, silhouettes
from fmnist_train.photo.planes import Planes, Rng, axes, chosen, column, read, smooth
from fmnist_train.photo.redrawing_recipe import RedrawingRecipe
from fmnist_train.photo.soles import soles
from fmnist_train.photo.taps import SIDE, DrawingRule

CANVAS: Final = 56  # cells a side of the plane that garments are moved on
REACH: Final = 2.0  # of the canvas, in half sides of the garment's own box
CHUNK: Final = 2_000  # images a task


def redrawn_views(
    split: Split, recipe: RedrawingRecipe, times: int, seed: int, processes: int = 1
) -> NDArray[np.uint8]:
    """Return uint8 [times, n, 28, 28]: each image of a split redrawn so many times.

    How many processes draw changes nothing in the pictures.
    """
    starts = range(0, len(split.images), CHUNK)
    tasks = [
        (split.images[at : at + CHUNK], split.labels[at : at + CHUNK], recipe, (seed, time, at))
        for time in range(times)
        for at in starts
    ]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as executor:
        drawn = list(executor.map(_task, tasks))
    return np.stack([np.concatenate(drawn[time * len(starts) :][: len(starts)]) for time in range(times)])


def _task(
    task: tuple[NDArray[np.uint8], NDArray[np.integer], RedrawingRecipe, tuple[int, int, int]],
) -> NDArray[np.uint8]:
    images, labels, recipe, seed = task
    return redrawn(np.random.default_rng(seed), images, labels, recipe, DrawingRule())


def redrawn(
    rng: Rng, images: NDArray[np.uint8], labels: NDArray[np.integer], recipe: RedrawingRecipe, rule: DrawingRule
) -> NDArray[np.uint8]:
    """Return pictures, uint8 [n, 28, 28], of images, uint8 [n, 28, 28], with labels [n]."""
    masks = silhouettes(images).astype(np.float32)
    x, y = _moved(rng, labels, recipe)
    mask, detail = read(masks, x, y), read(images.astype(np.float32) / 255, x, y)
    mask, detail = _paired(rng, mask, detail, labels, recipe)
    mask = _flawed(rng, mask, recipe)
    mask, detail = _boxed(rng, mask, detail)
    level = toned(rng, np.clip(mask, 0, 1), detail, recipe, rule)
    return _finished(rng, level, recipe)


def _moved(rng: Rng, labels: NDArray[np.integer], recipe: RedrawingRecipe) -> tuple[Planes, Planes]:
    """Return where in each image (-1..1) the cells of the canvas lie."""
    n = len(labels)
    x, y = axes(CANVAS, REACH)
    turn = rng.normal(0, recipe.turn, n) + (rng.random(n) < recipe.far_turn) * rng.uniform(-0.3, 0.3, n)
    cos, sin = column(np.cos(turn)), column(np.sin(turn))
    aspect = column(np.exp(rng.normal(0, recipe.aspect, n)))
    moved_x = (cos * x + sin * y) * aspect + y * column(rng.normal(0, recipe.shear, n))
    moved_y = (cos * y - sin * x) / aspect
    moved_x = moved_x + smooth(rng, n, CANVAS, 4) * np.float32(recipe.warp)
    moved_y = moved_y + smooth(rng, n, CANVAS, 4) * np.float32(recipe.warp)
    moved_x = moved_x * column(np.where(rng.random(n) < 0.5, -1, 1))
    return _lifted(rng, *_spread(rng, moved_x, moved_y, labels, recipe), labels, recipe)


def _spread(
    rng: Rng, x: Planes, y: Planes, labels: NDArray[np.integer], recipe: RedrawingRecipe
) -> tuple[Planes, Planes]:
    """Turn hanging sleeves outwards around the shoulders; what opens between them and the body is ground."""
    n = len(labels)
    turned = np.isin(labels, (2, 4, 6)) & (rng.random(n) < recipe.arms)
    start, height = column(rng.uniform(0.38, 0.58, n)), column(rng.uniform(-0.85, -0.55, n))
    angle = column(rng.uniform(0.1, 1.2, n) * turned)
    cos, sin = np.cos(angle), np.sin(angle)
    out, down = np.abs(x) - start, y - height
    back = cos * out - sin * down
    hung = down * cos + out * sin
    sleeve = (out > 0) & (angle > 0)
    gap = sleeve & (back < 0)
    new_x = np.where(gap, 9, np.where(sleeve, np.sign(x) * (back + start), x))
    return new_x.astype(np.float32), np.where(sleeve, hung + height, y).astype(np.float32)


def _lifted(
    rng: Rng, x: Planes, y: Planes, labels: NDArray[np.integer], recipe: RedrawingRecipe
) -> tuple[Planes, Planes]:
    """Raise and widen sleeves: beyond a start the garment is stretched sideways and lifted (see garments.lifted)."""
    n = len(labels)
    share = recipe.lift * (np.isin(labels, (0, 2, 4, 6)) + recipe.lift_dresses * (labels == 3))
    strength = column(rng.uniform(0, 1, n) * (rng.random(n) < share))
    start = column(rng.uniform(0.32, 0.52, n))
    wide = np.abs(x) / (1 + np.float32(0.4) * strength * column(rng.random(n)))
    excess = np.maximum(wide - start, 0)
    shrunk = 1 - np.float32(0.6) * strength
    return np.sign(x) * (np.minimum(wide, start) + excess * shrunk), y + np.float32(1.6) * strength * excess * shrunk


def _paired(
    rng: Rng, mask: Planes, detail: Planes, labels: NDArray[np.integer], recipe: RedrawingRecipe
) -> tuple[Planes, Planes]:
    """Let a share of the shoes come in pairs: two of a kind beside each other, or two soles seen from above."""
    pair = np.nonzero(np.isin(labels, SHOES) & (rng.random(len(labels)) < recipe.pairs))[0]
    above = rng.random(len(pair)) < recipe.above
    mask, detail = mask.copy(), detail.copy()
    both = pair[~above]
    mask[both], detail[both] = _two(rng, mask[both], detail[both])
    mask[pair[above]], detail[pair[above]] = soles(rng, int(above.sum()), CANVAS, REACH)
    return mask, detail


def _two(rng: Rng, mask: Planes, detail: Planes) -> tuple[Planes, Planes]:
    """Lay each shoe half over its twin, turned and shifted as people put them down."""
    n = len(mask)
    turn = rng.normal(0, 0.25, n) + np.where(rng.random(n) < 0.3, rng.uniform(-1.6, 1.6, n), 0)
    spread, slant = rng.uniform(0.25, 0.75, n), rng.uniform(-0.5, 0.5, n)
    layers = []
    for side in (-1, 1):
        x, y = axes(CANVAS, REACH)
        angle = turn + rng.normal(0, 0.12, n)
        cos, sin = column(np.cos(angle)), column(np.sin(angle))
        x, y = (x - column(side * slant)) / np.float32(0.8), (y - column(side * spread)) / np.float32(0.8)
        at = ((cos * x + sin * y) / REACH, (cos * y - sin * x) / REACH)
        layers.append((read(mask, *at), read(detail, *at)))
    (back, behind), (front, before) = layers
    edge = 1 - np.float32(0.5) * np.clip(4 * front * (1 - front), 0, 1)
    return np.maximum(back, front), (behind * (1 - front) + before * front) * edge


def _flawed(rng: Rng, mask: Planes, recipe: RedrawingRecipe) -> Planes:
    """Return the mask with a ragged edge, bites, holes and residue, cut at one half with a soft edge."""
    n = len(mask)
    mask = mask + smooth(rng, n, CANVAS, 14) * column(rng.uniform(0, recipe.ragged, n)) * (mask > 0.02)
    outline = 4 * mask * (1 - mask)
    mask = mask * (1 - chosen(rng, n, recipe.bites) * _spot(rng, outline, 0.15, 0.5))
    mask = mask * (1 - chosen(rng, n, recipe.holes) * _spot(rng, mask, 0.08, 0.25))
    mask = np.maximum(mask, chosen(rng, n, recipe.residue) * _spot(rng, outline, 0.1, 0.35))
    return np.clip((mask - np.float32(0.5)) * 3 + np.float32(0.5), 0, 1)


def _spot(rng: Rng, where: Planes, least: float, most: float) -> Planes:
    """Return an ellipse of 0/1 in each plane, its middle drawn with the probability that `where` gives."""
    n = len(where)
    weight = np.clip(where.reshape(n, -1), 0, 1) + np.float32(1e-6)
    total = np.cumsum(weight, 1)
    place = (total < total[:, -1:] * rng.random((n, 1), np.float32)).sum(1)
    x, y = axes(CANVAS, REACH)
    middle = (np.stack([place % CANVAS, place // CANVAS]) + 0.5) / (CANVAS / 2) * REACH - REACH
    across, down = rng.uniform(least, most, (2, n))
    distance = ((x - column(middle[0])) / column(across)) ** 2 + ((y - column(middle[1])) / column(down)) ** 2
    return (distance < 1).astype(np.float32)


def _boxed(rng: Rng, mask: Planes, detail: Planes) -> tuple[Planes, Planes]:
    """Return both cut to the tight square around the mask, [n, 28, 28], a little shifted and scaled."""
    n = len(mask)
    middle, half = [], []
    for axis in (1, 2):
        line = np.asarray((mask > 0.5).any(axis))
        first, last = line.argmax(1), CANVAS - line[:, ::-1].argmax(1)
        middle.append(((first + last) / CANVAS - 1) * REACH)
        half.append((last - first) / CANVAS * REACH)
    size = column(np.maximum(*half) * np.exp(rng.normal(0, 0.03, n)))
    shift = rng.normal(0, 0.4 * 2 / SIDE, (2, n))
    x, y = axes(SIDE, 1.0)
    at_x, at_y = x * size + column(middle[0] + shift[0]), y * size + column(middle[1] + shift[1])
    return read(mask, at_x / REACH, at_y / REACH), read(detail, at_x / REACH, at_y / REACH)


def _finished(rng: Rng, level: Planes, recipe: RedrawingRecipe) -> NDArray[np.uint8]:
    """Blur and roughen some, and round to bytes."""
    n = len(level)
    soft = level.copy()
    for axis in (1, 2):
        soft = (np.roll(soft, 1, axis) + 2 * soft + np.roll(soft, -1, axis)) / 4
    blur = chosen(rng, n, recipe.blurred)
    level = blur * soft + (1 - blur) * level
    noise = chosen(rng, n, recipe.noisy) * column(rng.uniform(0, 0.04, n))
    level = level + rng.standard_normal(level.shape, np.float32) * noise
    return np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8)
