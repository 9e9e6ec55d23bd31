"""Names the garment in a picture, with onnxruntime and numpy alone.

    python3 classify.py               self-test: does this device give the answers that were measured?
    python3 classify.py shirt.jpg     name the garments in pictures

Decoding JPEG, PNG and the like needs Pillow, too; binary PPM (as cameras' programs write it) needs nothing.
Exit code: 0 all well; 1 a picture could not be read, or the self-test did not hold.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

KIT = Path(__file__).resolve().parent.parent
LABELS = json.loads((KIT / "labels.json").read_text())
FACTS = json.loads((KIT / "model.json").read_text())


@cache
def open_model(kind: str) -> Any:
    """Return a session for the "classifier" (28x28 images) or the "photo" model (any picture)."""
    return onnxruntime.InferenceSession(str(KIT / FACTS[kind]["file"]), providers=["CPUExecutionProvider"])


def read_picture(path: str) -> Any:
    """Return a picture as uint8 [height, width, 3], upright, its long side at most 1,024 pixels."""
    data = Path(path).read_bytes()
    pixels = read_ppm(data) if data.startswith(b"P6") else read_with_pillow(path)
    return reduce(pixels, FACTS["host"]["longest_side"])


def read_ppm(data: bytes) -> Any:
    """Return a binary PPM of 8 bits a channel."""
    _, width, height, largest, raw = data.split(maxsplit=4)
    if int(largest) != 255:
        raise ValueError("only PPM with 255 levels")
    return np.frombuffer(raw, np.uint8, 3 * int(width) * int(height)).reshape(int(height), int(width), 3)


def read_with_pillow(path: str) -> Any:
    """Return any other picture, upright, transparency laid on white."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ValueError("decoding this needs Pillow: python3 -m pip install pillow") from None
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    ground = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(ground, upright).convert("RGB"))


def reduce(pixels: Any, longest: int) -> Any:
    """Average square blocks of pixels until the long side is at most `longest`."""
    factor = -(-max(pixels.shape) // longest)
    if factor == 1:
        return pixels
    rows, columns = (np.arange(0, side, factor) for side in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0, dtype=np.uint32), columns, axis=1)
    heights, widths = np.diff(np.append(rows, pixels.shape[0])), np.diff(np.append(columns, pixels.shape[1]))
    return np.rint(sums / (heights[:, None] * widths)[..., None]).astype(np.uint8)


def classify(pixels: Any) -> Any:
    """Return the ten probabilities of a picture, and below which confidence its answer is unsure."""
    if pixels.shape == (28, 28, 3) and (pixels == pixels[..., :1]).all():
        image = pixels[..., 0]  # a picture of the dataset's own form: the classifier takes it as it is
        edge = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
        image = 255 - image if edge.mean() > 127.5 else image
        return open_model("classifier").run(["probabilities"], {"image": image[None]})[0][0], 0.0
    return open_model("photo").run(["probabilities"], {"photo": pixels})[0][0], FACTS["photo"]["unsure_below"]


def self_test() -> bool:
    """Run the pictures with known answers; print what differs, and return whether all is well."""
    vectors = json.loads((KIT / "vectors" / "vectors.json").read_text())
    return all([test_classifier(vectors["classifier"]), *test_photos(vectors["photo"])])


def test_classifier(vectors: dict[str, Any]) -> bool:
    """Run the dataset's images in one batch."""
    images = load(vectors["images"], vectors["shape"])
    return compare("classifier", vectors, open_model("classifier").run(["probabilities"], {"image": images})[0])


def test_photos(vectors: dict[str, Any]) -> list[bool]:
    """Run the photos, and compare what the network saw, too."""
    answers, drawings = [], []
    for photo in vectors["answers"]:
        pixels = load(photo["file"], photo["shape"])
        probabilities, image = open_model("photo").run(["probabilities", "image"], {"photo": pixels})
        answers.append(probabilities[0])
        drawings.append(image)
    return [compare("photo", vectors, np.stack(answers)), compare_drawings(vectors, np.stack(drawings))]


def load(name: str, shape: list[int]) -> Any:
    """Return raw bytes as uint8 of a shape."""
    return np.fromfile(KIT / "vectors" / name, np.uint8).reshape(shape)


def compare(kind: str, vectors: dict[str, Any], found: Any) -> bool:
    """Tell whether labels are equal and probabilities within the tolerance."""
    expected = np.array([answer["probabilities"] for answer in vectors["answers"]])
    labels = int((found.argmax(1) != expected.argmax(1)).sum())
    difference = float(abs(found - expected).max())
    good = labels == 0 and difference <= vectors["tolerance"]
    report(good, f"{kind}: {len(found)} pictures, {labels} labels differ, probabilities by {difference:.1e}")
    return good


def compare_drawings(vectors: dict[str, Any], found: Any) -> bool:
    """Tell whether what the network saw is what it should see."""
    expected, allowed = load(vectors["drawings"], vectors["shape"]), vectors["drawing_tolerance"]
    off = abs(found.astype(int) - expected) > allowed["levels"]
    good = bool(off.mean() <= 1 - allowed["share"])
    report(good, f"photo: {off.sum()} of {off.size} pixels of the drawings differ")
    return good


def report(good: bool, line: str) -> None:
    """Print what a check found."""
    print(f"{'ok  ' if good else 'FAIL'} {line}")


def main(paths: list[str]) -> bool:
    """Name the garments in pictures, or run the self-test if there are none."""
    if not paths:
        return self_test()
    good = True
    for path in paths:
        try:
            probabilities, threshold = classify(read_picture(path))
        except Exception as error:  # Pillow raises nearly any type on damaged files
            print(f"{path}: error: {error}", file=sys.stderr)
            good = False
            continue
        best = int(probabilities.argmax())
        label = "unsure" if probabilities[best] < threshold else LABELS[best]
        print(f"{path}: {label} ({100 * probabilities[best]:.1f} %)")
    return good


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
