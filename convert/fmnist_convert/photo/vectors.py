"""Self-test vectors of a photo model: small drawn photos with the answers that a device must reproduce.

`make photo-vectors` writes those of the shipped model anew; `fmnist-edge convert` writes those of any other.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_convert.conversion import as_json
from fmnist_convert.photo.scenes import draw_scene
from fmnist_convert.vectors import SOURCE
from fmnist_edge.atomic import write_atomically
from fmnist_edge.dataset import Split, load_split
from fmnist_edge.model_info import EMBEDDED_PHOTO_MODEL, sha256_of, vectors_path

PhotoModel: Any = None  # the runtime no longer runs this graph

SCHEMA: Final = 1
# Of each of these classes the first test image, whatever its answer: t-shirt, trouser, dress, sneaker and bag are the
# five outlines that differ most. Each is drawn as the scene of its class in samples/.
CLASSES: Final = (0, 1, 3, 7, 8)
SCENE_SEED: Final = 1
MAX_BYTES: Final = 20 * 1024  # of a photo's raw RGB bytes: whoever ports the self-test may have to embed them
COLOURS: Final = 16  # of a photo, so that five of them take 7 KB of the wheel; they are photos none the less
# What another CPU may differ by: its float arithmetic in resizing can move a grey level of the drawing, and with it the
# probabilities.
TOLERANCE: Final = 0.01
LEVELS: Final = 1
SHARE: Final = 0.999


def build_photo_vectors(sha256: str, model: PhotoModel, test: Split) -> dict[str, Any]:
    """Return the vectors as JSON-ready facts: five composites, and a dataset image that needs no mask."""
    firsts = {label: int(np.flatnonzero(test.labels == label)[0]) for label in CLASSES}
    composites = [_entry("composite", _composite(test.images[at], label), model) for label, at in firsts.items()]
    plain = PIL.Image.fromarray(test.images[firsts[CLASSES[0]]])
    return {
        "schema": SCHEMA,
        "model_sha256": sha256,
        "source": f"{SOURCE}; grounds drawn by fmnist-edge, MIT licence",
        "tolerance": TOLERANCE,
        "image_tolerance": {"levels": LEVELS, "share": SHARE},
        "photos": [*composites, _entry("dataset image", plain, model)],
    }


def _composite(image: NDArray[np.uint8], label: int) -> PIL.Image.Image:
    """Return the scene of one dataset image as a palette picture of at most MAX_BYTES once it is RGB."""
    scene = PIL.Image.fromarray(draw_scene(image, np.random.default_rng((SCENE_SEED, label))))
    scale = (MAX_BYTES / (3 * scene.width * scene.height)) ** 0.5
    small = scene.resize((int(scene.width * scale), int(scene.height * scale)), PIL.Image.Resampling.BOX)
    return small.quantize(COLOURS, dither=PIL.Image.Dither.NONE)


def _entry(what: str, picture: PIL.Image.Image, model: PhotoModel) -> dict[str, Any]:
    answer = model.classify(np.asarray(picture.convert("RGB")))
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return {
        "what": what,
        "png": base64.b64encode(content.getvalue()).decode("ascii"),
        "image": base64.b64encode(np.asarray(answer.image).tobytes()).decode("ascii"),
        "probabilities": [float(f"{value:.9g}") for value in answer.probabilities],
    }


def main(model: Path = EMBEDDED_PHOTO_MODEL) -> None:
    """Write the vectors of a photo model (the shipped one by default) beside it."""
    vectors = build_photo_vectors(sha256_of(model), PhotoModel(model), load_split("test"))
    write_atomically(vectors_path(model), as_json(vectors))


if __name__ == "__main__":
    main()
