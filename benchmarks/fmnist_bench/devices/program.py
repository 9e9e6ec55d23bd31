"""What runs on a device that has Python: the workload through onnxruntime, its answers as raw bytes.

    python program.py WORKLOAD ANSWERS IMAGES MODEL...

Needs onnxruntime and numpy alone, of any age: it also runs on Python 3.7 with onnxruntime 1.8.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

BATCH, ALONE = 250, 200  # images in a batch; how many of them are also run one by one, which is another kernel's work


def main(workload: Path, answers: Path, count: int, models: list[str]) -> None:
    """Run the models over the first `count` images, the photo model over all pictures; write what comes out."""
    images = np.fromfile(workload / "images.u8", np.uint8, count * 784).reshape(-1, 28, 28)
    feeds = [{"image": images[at : at + BATCH]} for at in range(0, count, BATCH)]
    feeds += [{"image": images[at : at + 1]} for at in range(ALONE)]
    ms = {
        model: run(workload / f"{model}.onnx", pictures(workload) if model == "photo" else feeds, answers)
        for model in models
    }
    core = getattr(np, "_core", None) or np.core
    features = [name for name, here in core._multiarray_umath.__cpu_features__.items() if here]
    host = f"Python {platform.python_version()}, {platform.machine()}"
    report = {"runtime": f"onnxruntime {onnxruntime.__version__}, {host}", "features": features, "ms": ms}
    (answers / "answers.json").write_text(json.dumps(report))


def pictures(workload: Path) -> list[dict[str, Any]]:
    """Return the pictures, uint8 [height, width, 3]."""
    pixels, found, at = np.fromfile(workload / "pictures.u8", np.uint8), [], 0
    for height, width in json.loads((workload / "pictures.json").read_text()):
        found.append({"photo": pixels[at : at + height * width * 3].reshape(height, width, 3)})
        at += height * width * 3
    return found


def run(model: Path, feeds: list[dict[str, Any]], answers: Path) -> float:
    """Write a file of raw bytes for each output, all runs in order; return the median time of the last runs in ms."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # as on a small device
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(model), sess_options=options, providers=["CPUExecutionProvider"])
    times = []
    for feed in feeds:
        started = time.perf_counter()
        results = session.run(None, feed)
        times.append(time.perf_counter() - started)
        for output, result in zip(session.get_outputs(), results):  # noqa: B905 (Python 3.7 has no strict)
            with (answers / f"{model.stem}.{output.name}").open("ab") as file:
                file.write(np.ascontiguousarray(result).tobytes())
    return 1000 * float(np.median(times[-ALONE:]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
