"""python probe.py IMAGES.npz SECONDS THREADS FIGURE...: what fmnist_edge costs in this process, as JSON.

Runs with any revision of the package on the path, so it uses its public interface alone, and nothing of this one's.
Beside each figure stands a yardstick that needs no such package.
"""

import gc
import io
import json
import sys
import time

import numpy as np
import PIL.Image

from fmnist_edge import Classifier


def timed(function, inputs, seconds):
    """Return the seconds of each run, after a tenth of them unmeasured."""
    function(inputs[0])
    begun = time.perf_counter()
    for number in range(3):
        function(inputs[number % len(inputs)])
    rounds = min(3000, max(10, int(seconds / ((time.perf_counter() - begun) / 3))))
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


def png_of(image):
    """Return an image as a PNG file."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


pixels = np.load(sys.argv[1])["pixels"]
seconds, threads = float(sys.argv[2]), int(sys.argv[3])
classifier = Classifier(threads=threads)
weights = np.random.default_rng(0).standard_normal((784, 128)).astype(np.float32)
singles = [image[None] for image in pixels[:500]]
files = [png_of(image) for image in pixels[:500]]
vectors = [(single.reshape(1, 784) / np.float32(255)) for single in singles]
tasks = {
    "one-image": [("int8-classifier", classifier.predict, singles), ("matmul", weights.T.dot, [v[0] for v in vectors])],
    "png-to-label": [
        ("int8-classifier", lambda png: classifier.classify(png).label, files),
        ("pillow-decode", lambda png: np.asarray(PIL.Image.open(io.BytesIO(png))), files),
    ],
    "ten-thousand": [
        ("int8-classifier", classifier.predict, [pixels]),
        ("matmul", weights.T.dot, [np.ascontiguousarray(pixels.reshape(-1, 784)[:2000].T / np.float32(255))]),
    ],
}
print(
    json.dumps(
        {
            figure: {key: timed(function, inputs, seconds) for key, function, inputs in tasks[figure]}
            for figure in sys.argv[4:]
        }
    )
)
