"""Names the garment in a picture, with onnxruntime and numpy alone.

    python3 classify.py                     self-test: does this device give the answers that were measured?
    python3 classify.py shirt.jpg           name the garments in pictures
    python3 classify.py --map shirt.jpg     and draw, in letters, what the answer rests on

Decoding JPEG, PNG and the like needs Pillow; binary PPM, as cameras' programs write it, needs nothing.
Exit code: 0 all well; 1 a picture could not be read, or the self-test did not hold.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

KIT = Path(__file__).resolve().parent.parent
LABELS = json.loads((KIT / "labels.json").read_text())
DESCRIPTION = json.loads((KIT / "model.json").read_text())
SHADES = " .:-=+*#%@"


def import_onnxruntime() -> Any:
    """Import it, and drop the one line that 1.23 and 1.24 print where there is no GPU, as on a Raspberry Pi."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        stderr = os.dup(2)
    except OSError:  # closed
        import onnxruntime

        return onnxruntime
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import onnxruntime
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            os.write(2, b"".join(line for line in said if b"GPU device discovery failed" not in line))
    return onnxruntime


@cache
def open_model(kind: str) -> Any:
    """Return a session for the "classifier" (28x28 images) or the "photo" model (any picture)."""
    path = str(KIT / DESCRIPTION[kind]["file"])
    return import_onnxruntime().InferenceSession(path, providers=["CPUExecutionProvider"])


def read_picture(path: str) -> Any:
    """Return a picture as uint8 [height, width, 3], upright, as small as the photo model needs it."""
    data = Path(path).read_bytes()
    return reduce(read_ppm(data) if data.startswith(b"P6") else read_with_pillow(path))


def read_ppm(data: bytes) -> Any:
    """Return a binary PPM of 8 bits a channel."""
    _, width, height, largest, raw = data.split(maxsplit=4)
    if int(largest) != 255:
        raise ValueError("only PPM with 255 levels")
    return np.frombuffer(raw, np.uint8, 3 * int(width) * int(height)).reshape(int(height), int(width), 3)


def read_with_pillow(path: str) -> Any:
    """Return any other picture, upright; transparency is laid on white, that of a dataset picture on black."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ValueError("decoding this needs Pillow: python3 -m pip install pillow") from None
    with Image.open(path) as image:
        least = DESCRIPTION["host"]["long_side"][0]
        scale = least / max(image.size)
        if scale < 1:  # JPEG alone: decoded at a whole part of its size, for a part of the time
            image.draft("RGB", (max(1, int(image.width * scale)), max(1, int(image.height * scale))))
        grey = image.point(lambda level: level * (1 / 256)).convert("L") if image.mode == "I;16" else image
        upright = ImageOps.exif_transpose(grey).convert("RGBA")
    background = Image.new("RGBA", upright.size, "black" if upright.size == (28, 28) else "white")
    return np.asarray(Image.alpha_composite(background, upright).convert("RGB"))


def reduce(pixels: Any) -> Any:
    """Average square blocks of pixels, as large as leaves the long side what the photo model needs."""
    factor = max(pixels.shape) // DESCRIPTION["host"]["long_side"][0]
    if factor <= 1:
        return pixels
    rows, columns = (np.arange(0, side, factor) for side in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0, dtype=np.uint32), columns, axis=1)
    heights, widths = np.diff(np.append(rows, pixels.shape[0])), np.diff(np.append(columns, pixels.shape[1]))
    return np.rint(sums / (heights[:, None] * widths)[..., None]).astype(np.uint8)


def classify(pixels: Any) -> tuple[Any, float, Any]:
    """Return the ten probabilities, below which confidence the answer is unsure, and what it rests on, 0..1."""
    if pixels.shape == (28, 28, 3):
        kind, feeds, names = "classifier", {"image": dataset_image(pixels)[None]}, ["probabilities"]
    else:
        kind, feeds, names = "photo", {"photo": pixels}, ["probabilities", "saw"]
    probabilities, *saw = open_model(kind).run(names, feeds)
    return probabilities[0], DESCRIPTION[kind].get("unsure_below", 0.0), saw[0] if saw else None


def dataset_image(pixels: Any) -> Any:
    """Return a 28x28 picture in grey (ITU-R BT.601), negated if its outermost pixels are light on average."""
    image = ((pixels.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32) + 32768) >> 16).astype(np.uint8)
    edge = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    return 255 - image if edge.mean() > 127.5 else image


def draw(saw: Any, columns: int = 32) -> str:
    """Return what an answer rests on in letters, the darker the more; letters are twice as high as wide."""
    rows = max(1, round(columns * saw.shape[0] / saw.shape[1] / 2))
    down, across = (np.arange(n) * side // n for n, side in ((rows, saw.shape[0]), (columns, saw.shape[1])))
    levels = (saw[down][:, across] * (len(SHADES) - 1)).round().astype(int)
    return "\n".join("    " + "".join(SHADES[level] for level in row) for row in levels)


def self_test() -> bool:
    """Run the pictures with known answers; print what differs, and return whether all is well."""
    vectors = json.loads((KIT / "vectors" / "vectors.json").read_text())
    images = load(vectors["classifier"]["images"], vectors["classifier"]["shape"])
    photos = [load(answer["file"], answer["shape"]) for answer in vectors["photo"]["answers"]]
    together = open_model("classifier").run(["probabilities"], {"image": images})[0]
    alone = [open_model("photo").run(["probabilities"], {"photo": photo})[0][0] for photo in photos]
    return all([compare("classifier", vectors, together), compare("photo", vectors, np.stack(alone))])


def load(name: str, shape: list[int]) -> Any:
    """Return raw bytes as uint8 of a shape."""
    return np.fromfile(KIT / "vectors" / name, np.uint8).reshape(shape)


def compare(kind: str, vectors: dict[str, Any], found: Any) -> bool:
    """Tell whether labels are equal and probabilities within the tolerance."""
    expected = np.array([answer["probabilities"] for answer in vectors[kind]["answers"]])
    labels = int((found.argmax(1) != expected.argmax(1)).sum())
    difference = float(abs(found - expected).max())
    good = labels == 0 and difference <= vectors[kind]["tolerance"]
    mark = "ok  " if good else "FAIL"
    print(f"{mark} {kind}: {len(found)} pictures, {labels} labels differ, probabilities by {difference:.1e}")
    return good


def main(arguments: list[str]) -> bool:
    """Name the garments in pictures, or run the self-test if there are none."""
    paths = [argument for argument in arguments if argument != "--map"]
    if not paths:
        return self_test()
    good = True
    for path in paths:
        try:
            probabilities, threshold, saw = classify(read_picture(path))
        except Exception as error:  # Pillow raises nearly any type on damaged files
            print(f"{path}: error: {error}", file=sys.stderr)
            good = False
            continue
        best = int(probabilities.argmax())
        label = "unsure" if probabilities[best] < threshold else LABELS[best]
        print(f"{path}: {label} ({100 * probabilities[best]:.1f} %)")
        if "--map" in arguments and saw is not None:
            print(draw(saw))
    return good


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends quietly
    sys.exit(0 if main(sys.argv[1:]) else 1)
