"""python probe.py IMAGES.npz SECONDS THREADS FIGURE...: what fmnist_edge costs in this process, as JSON.

Runs with any revision of the package on the path, so it uses its public interface alone, and nothing of this one's.
Beside each figure stands a yardstick that needs no such package.
"""

import gc
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import PIL.Image

from fmnist_edge import Classifier

Task: TypeAlias = tuple[str, Callable[[Any], Any], Sequence[Any]]
MOST_RUNS = 3000


def timed(function: Callable[[Any], Any], inputs: Sequence[Any], seconds: float) -> list[float]:
    """Return the seconds of each run, after a tenth of them unmeasured."""
    function(inputs[0])
    begun = time.perf_counter()
    for number in range(3):
        function(inputs[number % len(inputs)])
    rounds = min(MOST_RUNS, max(10, int(seconds / ((time.perf_counter() - begun) / 3))))
    taken = []
    gc.collect()
    gc.disable()
    for number in range(-max(2, rounds // 10), rounds):
        one = inputs[number % len(inputs)]
        begun = time.perf_counter()
        function(one)
        ended = time.perf_counter()
        if number >= 0:
            taken.append(ended - begun)
    gc.enable()
    return taken


def png_of(image: Any) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def tasks_of(pixels: Any, threads: int) -> dict[str, list[Task]]:
    """Return, for each figure, what is measured: our own and the yardstick."""
    classifier = Classifier(threads=threads)
    singles = [image[None] for image in pixels[:500]]
    files = [png_of(image) for image in pixels[:500]]
    weights = np.random.default_rng(0).standard_normal((128, 784)).astype(np.float32)
    columns = pixels.reshape(-1, 784).T / np.float32(255)
    vectors = [np.ascontiguousarray(columns[:, number]) for number in range(500)]
    return {
        "one-image": [("int8-classifier", classifier.predict, singles), ("matmul", weights.dot, vectors)],
        "png-to-label": [
            ("int8-classifier", lambda png: classifier.classify(png).label, files),
            ("pillow-decode", lambda png: np.asarray(PIL.Image.open(io.BytesIO(png))), files),
        ],
        "ten-thousand": [
            ("int8-classifier", classifier.predict, [pixels]),
            ("matmul", weights.dot, [np.ascontiguousarray(columns)]),
        ],
    }


def main() -> None:
    """Measure what the command line asks for."""
    seconds = float(sys.argv[2])
    tasks = tasks_of(np.load(sys.argv[1])["pixels"], int(sys.argv[3]))
    chosen = {figure: tasks[figure] for figure in sys.argv[4:]}
    taken = {
        figure: {key: timed(function, inputs, seconds) for key, function, inputs in parts}
        for figure, parts in chosen.items()
    }
    print(json.dumps(taken))


main()
