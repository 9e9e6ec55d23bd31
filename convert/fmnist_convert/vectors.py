"""Self-test vectors: pictures with the answers that a device must reproduce, and how closely."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import Split

SCHEMA: Final = 1
PER_CLASS: Final = 2
# Devices agree on the integers to the bit; their exp() differs in the last places (measured: 2.4e-7 at most).
TOLERANCE: Final = 1e-6
SOURCE: Final = "Fashion-MNIST test split, Copyright (c) 2017 Zalando SE, MIT licence"
# Of a photo model. A filter in float can move a pixel by a grey level, and runtimes round the int8 convolutions
# differently: x86 CPUs agree within 2.4e-7, onnxruntime-web differs by up to 0.047 (measured on 300 pictures).
PHOTO_TOLERANCE: Final = 0.06
SAW_TOLERANCE: Final = 0.15
# Of each of these classes the first test image, whatever its answer, enlarged by a factor, as large as (height, width).
DRAWN: Final = ((0, 4, (150, 120)), (1, 5, (160, 140)), (3, 3, (84, 84)), (5, 4, (112, 200)), (8, 2, (60, 80)))
COLOURS: Final = 16  # of a picture, so that five of them take a few KB

PhotoAnswer = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Picture uint8 [height, width, 3] to probabilities float32 [10] and `saw` float32 [rows, columns]."""


def choose_vectors(labels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the indices of the first two images of each class, 20 in all, sorted (never by their answer)."""
    chosen = [np.flatnonzero(labels == label)[:PER_CLASS] for label in range(len(LABELS))]
    return np.sort(np.concatenate(chosen))


def build_vectors(
    sha256: str, test: Split, probabilities: NDArray[np.float32], tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Return a classifier's vectors, ready for JSON; `probabilities` are float32 [10000, 10] of the test split."""
    return {
        "schema": SCHEMA,
        "model_sha256": sha256,
        "source": SOURCE,
        "tolerance": tolerance,
        "images": [
            {
                "index": int(index),
                "label": int(test.labels[index]),
                "pixels": base64.b64encode(test.images[index].tobytes()).decode("ascii"),
                "probabilities": _rounded(probabilities[index]),
            }
            for index in choose_vectors(test.labels)
        ],
    }


def build_photo_vectors(sha256: str, answer: PhotoAnswer, test: Split) -> dict[str, Any]:
    """Return a photo model's vectors, ready for JSON: drawn pictures of several sizes, and a line of one pixel."""
    return {
        "schema": SCHEMA,
        "model_sha256": sha256,
        "source": f"{SOURCE}; coloured and enlarged by fmnist-edge",
        "tolerance": PHOTO_TOLERANCE,
        "saw_tolerance": SAW_TOLERANCE,
        "photos": [_photo_entry(what, picture, answer) for what, picture in _pictures(test)],
    }


def _pictures(test: Split) -> Iterator[tuple[str, PIL.Image.Image]]:
    random = np.random.default_rng(1)
    for label, factor, size in DRAWN:
        image = test.images[np.flatnonzero(test.labels == label)[0]]
        yield f"drawn {LABELS[label]}", _drawn(image, factor, size, random)
    yield "a line", PIL.Image.fromarray(random.integers(0, 256, (1, 500, 3)).astype(np.uint8))


def _drawn(
    image: NDArray[np.uint8], factor: int, size: tuple[int, int], random: np.random.Generator
) -> PIL.Image.Image:
    """Return a garment of the dataset in two colours, enlarged, in the middle of a plain ground of (height, width)."""
    ground, light, dark = random.uniform([190, 120, 20], [250, 220, 100], (3, 3)).T
    large = PIL.Image.fromarray(image).resize((28 * factor, 28 * factor), PIL.Image.Resampling.BICUBIC)
    level = np.asarray(large, np.float64)[..., None] / 255
    garment = light + (dark - light) * level
    cover = np.clip(level * 8, 0, 1)
    canvas = np.tile(ground, (*size, 1))
    top, left = ((room - len(garment)) // 2 for room in size)
    place = canvas[top : top + len(garment), left : left + len(garment)]
    place += cover * (garment - place)
    picture = PIL.Image.fromarray(np.rint(canvas).astype(np.uint8))
    return picture.quantize(COLOURS, dither=PIL.Image.Dither.NONE)


def _photo_entry(what: str, picture: PIL.Image.Image, answer: PhotoAnswer) -> dict[str, Any]:
    probabilities, saw = answer(np.asarray(picture.convert("RGB")))
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return {
        "what": what,
        "png": base64.b64encode(content.getvalue()).decode("ascii"),
        "probabilities": _rounded(probabilities),
        "saw": {
            "rows": saw.shape[0],
            "columns": saw.shape[1],
            "values": base64.b64encode(np.rint(saw * 255).astype(np.uint8).tobytes()).decode("ascii"),
        },
    }


def _rounded(probabilities: NDArray[np.float32]) -> list[float]:
    return [float(f"{value:.9g}") for value in probabilities]
