"""What runs on a device that has Python: the workload through onnxruntime, its answers as raw bytes.

    python run_onnxruntime.py WORKLOAD ANSWERS IMAGES PHOTOS MODEL...

Needs onnxruntime and numpy alone, of any age: it also runs on Python 3.7 with onnxruntime 1.8.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BATCH = 250
CLASSIFIER_OUTPUTS = ("hidden_quantized", "logits", "probabilities")
PHOTO_OUTPUTS = ("probabilities", "image", "mask")


def main(
    arguments: list[str],
    opened: Callable[[Path], Any] | None = None,
    runtime: str = f"onnxruntime {onnxruntime.__version__}",
) -> None:
    """Run each model over the first images or photos of the workload and write what came out."""
    workload, answers = Path(arguments[0]), Path(arguments[1])
    images, photos, models = int(arguments[2]), int(arguments[3]), arguments[4:]
    facts = json.loads((workload / "workload.json").read_text())
    measured = {}
    for model in models:
        session = (opened or open_session)(workload / f"{model}.onnx")
        if model == "photo":
            measured[model] = run_photos(session, workload, answers, facts["photos"][:photos])
        else:
            measured[model] = run_images(session, workload, answers / model, images, facts["alone"])
    host = f"Python {platform.python_version()}, {platform.machine()}"
    report = {"runtime": runtime, "host": host, "features": seen_features(), "models": measured}
    (answers / "answers.json").write_text(json.dumps(report))


def open_session(path: Path) -> Any:
    """Return a session on one thread of the CPU, as on a small device."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])


def run_images(session: Any, workload: Path, answers: Path, count: int, alone: int) -> dict[str, float]:
    """Run `count` images in batches, and the first `alone` of them one by one: another kernel computes those.

    The time is the median of those alone.
    """
    images = np.fromfile(workload / "images.u8", np.uint8, count * 784).reshape(-1, 28, 28)
    batches = [run(session, CLASSIFIER_OUTPUTS, image=images[at : at + BATCH]) for at in range(0, count, BATCH)]
    singles, times = [], []
    for at in range(alone):
        started = time.perf_counter()
        singles.append(run(session, CLASSIFIER_OUTPUTS, image=images[at : at + 1]))
        times.append(time.perf_counter() - started)
    write(answers, CLASSIFIER_OUTPUTS, batches)
    write(answers.with_name(f"{answers.name}-alone"), CLASSIFIER_OUTPUTS, singles)
    return {"images": count, "ms": 1000 * float(np.median(times))}


def run_photos(session: Any, workload: Path, answers: Path, sides: list[list[int]]) -> dict[str, float]:
    """Run photos one by one; the time is the median."""
    pixels, at, results, times = np.fromfile(workload / "photos.u8", np.uint8), 0, [], []
    for height, width in sides:
        photo = pixels[at : at + height * width * 3].reshape(height, width, 3)
        at += photo.size
        started = time.perf_counter()
        results.append(run(session, PHOTO_OUTPUTS, photo=photo))
        times.append(time.perf_counter() - started)
    write(answers / "photo", PHOTO_OUTPUTS, results)
    return {"images": len(sides), "ms": 1000 * float(np.median(times))}


def run(session: Any, outputs: tuple[str, ...], **feeds: NDArray[np.uint8]) -> list[NDArray[Any]]:
    """Return the named outputs."""
    result: list[NDArray[Any]] = session.run(list(outputs), feeds)
    return result


def write(folder: Path, names: tuple[str, ...], results: list[list[NDArray[Any]]]) -> None:
    """Write one file of raw bytes for each output, all results behind one another."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        with (folder / name).open("wb") as file:
            for result in results:
                file.write(np.ascontiguousarray(result[place]).tobytes())


def seen_features() -> list[str]:
    """Return the names of the CPU features that a library sees on this device, as numpy tells them."""
    core = getattr(np, "_core", None) or np.core
    return sorted(name for name, here in core._multiarray_umath.__cpu_features__.items() if here)


if __name__ == "__main__":
    main(sys.argv[1:])
