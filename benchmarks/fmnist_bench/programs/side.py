"""python side.py IMAGES.npz: answers each line [FIGURE, CALLS] of standard input with the seconds of so many calls.

Runs with any revision of fmnist_edge on the path, so it uses its public interface alone, and nothing of this one's.
"""

import gc
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from fmnist_edge import Classifier

with np.load(sys.argv[1]) as arrays:
    pixels, png, photo = arrays["pixels"], arrays["png"].tobytes(), arrays["photo"].tobytes()
classifier = Classifier()
one = pixels[:1]
figures: dict[str, Callable[[], object]] = {
    "one image": lambda: classifier.predict(one),
    "one PNG to its label": lambda: classifier.classify(png).label,
    "one photo to its label": lambda: classifier.classify(photo).label,
    "10,000 images": lambda: classifier.predict(pixels),
}
gc.collect()
gc.disable()
for line in sys.stdin:
    figure, calls = json.loads(line)
    run = figures[figure]
    begun = time.perf_counter()
    for _ in range(calls):
        run()
    print(time.perf_counter() - begun, flush=True)
