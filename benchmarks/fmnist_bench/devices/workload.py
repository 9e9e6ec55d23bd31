"""What every device is given: models, images and photos as files of raw bytes, and what must come out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from fmnist_bench.devices.faults import FAULTS
from fmnist_convert.integer_mlp import IntegerMlp, build_onnx, read_onnx, with_inner_outputs
from fmnist_convert.photo.scenes import draw_scenes
from fmnist_edge.dataset import load_split
from fmnist_edge.decoding import decode
from fmnist_edge.download import list_photos, photos_at_hand
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

CLASSIFIER: Final = "classifier"
PHOTO: Final = "photo"
EARLY_TEST_IMAGES: Final = 2_000  # before the stress images, so that devices which stop early have seen both
STRESS_IMAGES: Final = 1_000
ALONE: Final = 200  # images that are also classified one by one
SCENES: Final = 100
SCENE_SEED: Final = 6
REAL_PHOTOS: Final = 50
SIDE: Final = 28


@dataclass(frozen=True)
class Workload:
    """A folder for the devices, and the networks in it as integers."""

    folder: Path
    images: NDArray[np.uint8]
    """uint8 [11000, 28, 28]"""
    photos: int
    """How many photos there are; the first 100 are drawn scenes."""
    networks: dict[str, IntegerMlp]
    """By the name of the model: the classifier, and the planted faults."""


def write_workload(folder: Path) -> Workload:
    """Write the workload into a folder. Raises DataError if the dataset is not at hand."""
    folder.mkdir(parents=True, exist_ok=True)
    test = load_split("test").images
    images = np.concatenate([test[:EARLY_TEST_IMAGES], stress_images(), test[EARLY_TEST_IMAGES:]])
    photos = draw_scenes(test[-SCENES:], SCENE_SEED) + _real_photos()
    (folder / "images.u8").write_bytes(images.tobytes())
    (folder / "photos.u8").write_bytes(b"".join(photo.tobytes() for photo in photos))
    sides = [list(photo.shape[:2]) for photo in photos]
    (folder / "workload.json").write_text(json.dumps({"photos": sides, "alone": ALONE}))
    return Workload(folder, images, len(photos), _write_models(folder))


def stress_images() -> NDArray[np.uint8]:
    """Return images that no garment looks like, uint8 [1000, 28, 28]: noise, all 0, all 255, stripes, all 128."""
    stripes = np.zeros((SIDE, SIDE), np.uint8)
    stripes[:, ::2] = 255
    plain = [np.full((SIDE, SIDE), level, np.uint8) for level in (0, 255, 128)]
    special = np.stack([*plain, stripes, stripes.T, 255 - stripes])
    noise = np.random.default_rng(1).integers(0, 256, (STRESS_IMAGES - len(special), SIDE, SIDE))
    return np.concatenate([special, noise.astype(np.uint8)])


def _real_photos() -> list[NDArray[np.uint8]]:
    """Return photos of training, evenly chosen, where they are at hand: no choice is made on their answers."""
    folder = photos_at_hand()
    if folder is None:
        return []
    found = [path for path, _ in list_photos(folder, "train")]
    return [
        np.asarray(decode(path).convert("RGB")) for path in found[:: max(len(found) // REAL_PHOTOS, 1)][:REAL_PHOTOS]
    ]


def _write_models(folder: Path) -> dict[str, IntegerMlp]:
    """Write the shipped models, the classifier with hidden layer and logits as outputs, and the faulty ones."""
    shipped = onnx.load(EMBEDDED_CLASSIFIER)
    onnx.save(with_inner_outputs(shipped), folder / f"{CLASSIFIER}.onnx")
    (folder / f"{PHOTO}.onnx").write_bytes(EMBEDDED_PHOTO_MODEL.read_bytes())
    networks = {CLASSIFIER: read_onnx(shipped)}
    for name, spoil in FAULTS.items():
        networks[name] = spoil(networks[CLASSIFIER])
        onnx.save(with_inner_outputs(build_onnx(networks[name])), folder / f"{name}.onnx")
    return networks
