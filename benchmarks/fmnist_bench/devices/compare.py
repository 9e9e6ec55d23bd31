"""What every device is given, what must come out, and how far it is from that."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import PIL.Image
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fmnist_bench.devices.program import ALONE
from fmnist_edge.dataset import load_split
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

EARLY, STRESS = 2_000, 1_000  # test images, then images of stress, then the other test images
PICTURES, SAMPLES = 200, Path(__file__).parents[3] / "samples"
# How far a probability may be off: where integers are computed; in float, where an activation halfway between two
# integers may be rounded the other way (0.0006 for one such step); and of the photo model.
LIMITS: Final = {"integers": 1e-6, "floats": 0.002, "pictures": 0.01}
Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Workload:
    """A folder for the devices: images.u8, pictures.u8 with pictures.json (heights and widths), and the models."""

    folder: Path
    images: NDArray[np.uint8]  # [n, 28, 28]
    networks: dict[str, Tensors]  # the integers of the classifier and of the planted faults, by the model's name


def write_workload(folder: Path, count: int | None = None) -> Workload:
    """Write the workload, with all images or the first `count`. Raises DataError if the dataset is not at hand."""
    folder.mkdir(parents=True, exist_ok=True)
    test = load_split("test").images
    images = np.concatenate([test[:EARLY], stress_images(), test[EARLY:]])[:count]
    (folder / "images.u8").write_bytes(images.tobytes())
    pictures = all_pictures(test)
    (folder / "pictures.u8").write_bytes(b"".join(picture.tobytes() for picture in pictures))
    (folder / "pictures.json").write_text(json.dumps([picture.shape[:2] for picture in pictures]))
    (folder / "photo.onnx").write_bytes(EMBEDDED_PHOTO_MODEL.read_bytes())
    model = onnx.load(EMBEDDED_CLASSIFIER)
    for name, kind in (("hidden_quantized", TensorProto.UINT8), ("logits", TensorProto.FLOAT)):
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    networks = {"classifier": tensors, "full-range": full_range(tensors), "minus-128": minus_128(tensors)}
    for name, changed in networks.items():
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name], tensor.name))
        onnx.save(model, folder / f"{name}.onnx")
    return Workload(folder, images, networks)


def stress_images() -> NDArray[np.uint8]:
    """Return images that no garment looks like, uint8 [1000, 28, 28]: plain, striped, noise."""
    stripes = np.tile(np.array([255, 0], np.uint8), (28, 14))
    special = [*(np.full((28, 28), level, np.uint8) for level in (0, 255, 128)), stripes, stripes.T, 255 - stripes]
    return np.concatenate([special, np.random.default_rng(1).integers(0, 256, (STRESS - 6, 28, 28), np.uint8)])


def all_pictures(test: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return 200 pictures, uint8 [height, width, 3]: samples, photos if at hand, odd ones, test images enlarged."""
    photos = sorted(Path(os.environ.get("FMNIST_PHOTOS", "/nowhere")).glob("train/*/*.jpg"))
    found = []
    for path in (*sorted(SAMPLES.rglob("*.jpg")), *photos[:: max(len(photos) // 50, 1)][:50]):
        with PIL.Image.open(path) as image:
            found.append(np.asarray(image.convert("RGB").reduce(max(1, max(image.size) // 128))))
    random = np.random.default_rng(2)
    for height, width in ((1, 1), (1, 200), (512, 3), (64, 64), (63, 65), (128, 512), (300, 200), (7, 7)):
        found += [random.integers(0, 256, (height, width, 3), np.uint8), np.full((height, width, 3), 200, np.uint8)]
    for number in range(PICTURES - len(found)):
        image, size = test[-1 - number] ^ np.uint8(255 * (number % 2)), (60 + number, 60 + number + number % 40)
        grey = np.asarray(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.BICUBIC))
        found.append(np.rint(grey[..., None] * random.uniform(0.5, 1, 3)).astype(np.uint8))
    return found


def full_range(tensors: Tensors) -> Tensors:
    """Stretch each column of the first kernel to -127..127: the 16-bit pair sums of x86 without VNNI saturate."""
    stretch = (127 / np.abs(tensors["hidden_kernel"].astype(int)).max(axis=0)).astype(np.float32)
    grown = {
        name: np.rint(tensors[name] * stretch).astype(tensors[name].dtype) for name in ("hidden_kernel", "hidden_bias")
    }
    return tensors | grown | {name: tensors[name] / stretch for name in ("hidden_kernel_scale", "hidden_bias_scale")}


def minus_128(tensors: Tensors) -> Tensors:
    """Set every tenth block of 16 weights to -128: sums of products overflow where Arm CPUs have no dot products."""
    kernel = tensors["hidden_kernel"].copy()
    chosen = np.random.default_rng(0).random((len(kernel) // 16, kernel.shape[1])) < 0.1
    kernel[np.repeat(chosen, 16, axis=0)] = -128
    return tensors | {"hidden_kernel": kernel}


def expected_answers(tensors: Tensors, images: NDArray[np.uint8]) -> Tensors:
    """Return what plain numpy integers give for all images, and then for the first ones alone; softmax in float64."""
    rows = np.concatenate([images, images[:ALONE]]).reshape(-1, 784).astype(float)
    sums = (rows @ tensors["hidden_kernel"].astype(float) + tensors["hidden_bias"]).astype(np.float32)
    steps = np.rint(sums * (tensors["hidden_bias_scale"] / tensors["hidden_scale"]))
    hidden = np.clip(steps, 0, 255).astype(np.uint8)
    sums = (hidden.astype(float) @ tensors["output_kernel"].astype(float) + tensors["output_bias"]).astype(np.float32)
    logits = sums * tensors["output_bias_scale"]
    powers = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return {"hidden_quantized": hidden, "logits": logits, "probabilities": probabilities}


def compare(folder: Path, model: str, expected: Tensors, limit: float) -> tuple[dict[str, Any], list[str]]:
    """Return how far a device's answers are from those expected, and a sentence for each limit that does not hold.

    Probabilities may be off by `limit`, all else must be equal to the bit. Raises OSError or ValueError if answers
    are missing or too many.
    """
    found = {
        name: np.fromfile(folder / f"{model}.{name}", want.dtype).reshape(want.shape) for name, want in expected.items()
    }
    differ = {name: int((found[name] != expected[name]).any(axis=1).sum()) for name in found if name != "probabilities"}
    mine, theirs = found["probabilities"].astype(float), expected["probabilities"].astype(float)
    differ["labels"] = int((mine.argmax(axis=1) != theirs.argmax(axis=1)).sum())
    largest = float(np.abs(mine - theirs).max())
    broken = [f"{model}: {name} of {count} of {len(mine)} differ" for name, count in differ.items() if count]
    if not largest <= limit:  # so that what is no number is not taken for equal
        broken.append(f"{model}: a probability differs by {largest:.2g}, more than {limit:g}")
    return {"count": len(mine), **differ, "probability": largest}, broken
