"""LiteRT (TensorFlow Lite), with its XNNPACK kernels, as its Interpreter applies them by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from fmnist_bench.contenders.opened import Opened, as_they_are, scaled

# Images that run at once, where there are many. Measured for 10,000 images, int8: 7.5 ms in parts of 250, 8.2 of 100,
# 8.0 of 1,000, 10.7 in one; fp32 16.7, 16.0, 19.1 and 25.7 ms.
PART: Final = 250


def interpreter(model: Path, threads: int) -> Opened:
    """Open a .tflite file twice: for one image, and for parts of many, whose number must be a multiple of PART."""
    one, part = _Batch(model, threads, 1), _Batch(model, threads, PART)

    def run_many(images: Any) -> Any:
        return np.concatenate([part.run(images[at : at + PART]) for at in range(0, len(images), PART)])

    return Opened(one.run, run_many, as_they_are if one.dtype == np.uint8 else scaled)


class _Batch:
    """An interpreter for batches of one size."""

    def __init__(self, model: Path, threads: int, size: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(model), num_threads=threads)
        source = self._interpreter.get_input_details()[0]
        self.dtype = source["dtype"]
        self._source, self._target = source["index"], self._interpreter.get_output_details()[0]["index"]
        self._interpreter.resize_tensor_input(self._source, [size, 28, 28])
        self._interpreter.allocate_tensors()

    def run(self, images: Any) -> Any:
        self._interpreter.set_tensor(self._source, images)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._target)
