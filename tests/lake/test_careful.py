"""An image that ends the process which decodes it costs itself alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmnist_edge import Classifier, ImageError
from fmnist_edge.batch import classify_sources
from fmnist_edge.classifier import Prediction
from fmnist_edge.images import ImageSource
from fmnist_edge.lake.careful import classify_carefully

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.png"))
DEADLY = b"deadly"


class Fragile(Classifier):
    """A classifier whose process dies of one picture, as of a crash in a decoder."""

    def begin(self, image: ImageSource) -> NDArray[np.uint8] | Prediction:
        if image == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().begin(image)


def test_what_ends_a_process_is_an_error_and_the_others_get_their_answers() -> None:
    sources: list[tuple[str, bytes | ImageError]] = [(path.name, path.read_bytes()) for path in SAMPLES[:4]]
    sources.insert(2, ("deadly", DEADLY))
    sources.append(("none", ImageError("missing-file", "no such file")))
    sources.append(("text", b"no image"))
    results = list(classify_carefully(Fragile, sources))
    assert [result.path for result in results] == [path for path, _ in sources]
    codes = {result.path: result.error.code for result in results if result.error}
    assert codes == {"deadly": "crashed", "none": "missing-file", "text": "not-an-image"}
    expected = {
        result.path: result for result in classify_sources(Classifier(), [s for s in sources if s[1] != DEADLY])
    }
    for result in results:
        if result.prediction:
            answer = expected[result.path].prediction
            assert answer is not None
            assert result.prediction.probabilities.tobytes() == answer.probabilities.tobytes()
