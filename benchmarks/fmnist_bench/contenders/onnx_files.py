"""This project's files: through its public Classifier, through the bare session, and by bound buffers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fmnist_bench.contenders.opened import Opened
from fmnist_edge import Classifier
from fmnist_edge.contract import INPUT_NAME, OUTPUT_NAME
from fmnist_edge.fast_png import read_plain_png
from fmnist_edge.images import on_dark_background


def classifier(model: Path, threads: int) -> Opened:
    """Open a file as Python users do."""
    opened = Classifier(model, threads=threads)
    return Opened(
        run=opened.predict,
        run_many=opened.predict,
        prepare=lambda images: on_dark_background(images[0])[None] if len(images) == 1 else images,
        decode=_decode,
        classify=lambda png: opened.classify(png).label,
    )


def _decode(png: bytes) -> Any:
    pixels = read_plain_png(png)
    if pixels is None:
        raise ValueError("the benchmark's PNG files should be plain ones")
    return pixels


def session(model: Path, threads: int) -> Opened:
    """Open a file in onnxruntime itself."""
    opened = _session(model, threads)

    def run(images: Any) -> Any:
        return opened.run([OUTPUT_NAME], {INPUT_NAME: images})[0]

    return Opened(run, run)


def bound(model: Path, threads: int) -> Opened:
    """Open a file with buffers for one image, and run it on what they hold: nothing is copied in or out."""
    opened = _session(model, threads)
    (source,), (target,) = opened.get_inputs(), opened.get_outputs()
    arrays = (np.zeros((1, 28, 28), np.uint8), np.zeros((1, *target.shape[1:]), _DTYPES[target.type]))
    binding = opened.io_binding()
    for bind, name, array in zip(
        (binding.bind_input, binding.bind_output), (source.name, target.name), arrays, strict=True
    ):
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def prepare(images: Any) -> Any:
        np.copyto(arrays[0], images)
        return images

    def run(_: Any) -> Any:
        opened.run_with_iobinding(binding)
        return arrays[1]

    return Opened(run, run, prepare)


_DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def _session(model: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
