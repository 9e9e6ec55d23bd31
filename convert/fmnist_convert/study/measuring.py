"""What a way to quantize costs and keeps, measured on images that chose nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from fmnist_convert.ambiguity import gap_error
from fmnist_convert.network import Float64, Network
from fmnist_edge.contract import INPUT_NAME, OUTPUT_NAME
from fmnist_edge.dataset import Split

RUNS: Final = 3_000  # single images timed for each file, in rounds over all files
PRODUCTS: Final = ("MatMul", "Gemm", "MatMulInteger")


@dataclass(frozen=True)
class Kept:
    """How well one quantized file keeps what the float network says."""

    size: int
    """Bytes of the file, without any metadata."""
    accuracy: float
    """On validation images, 0..1."""
    agreement: float
    """Share of validation images with the label of the float network."""
    gap_error: float
    """Weighted mean squared error of the gap between the two best logits (see `quantize`): the rule of choice."""
    hidden_noise: float
    """Signal to noise of the hidden layer as the last layer sees it, decibels."""
    logit_noise: float
    """Signal to noise of the logits, decibels."""


def measure_kept(model: onnx.ModelProto, network: Network, split: Split) -> Kept:
    """Measure a quantized graph against the float network that it stands for, on labelled images."""
    names = [OUTPUT_NAME, logits_tensor(model), hidden_tensor(model)]
    session = open_bytes(_with_outputs(model, names[1:]).SerializeToString())
    probabilities, logits, activations = session.run(names, {INPUT_NAME: split.images})
    target = network.logits(split.images)
    best = probabilities.argmax(axis=1)
    return Kept(
        size=len(model.SerializeToString()),
        accuracy=float(np.mean(best == split.labels)),
        agreement=float(np.mean(best == target.argmax(axis=1))),
        gap_error=gap_error(logits, target),
        hidden_noise=decibels(network.hidden(split.images), activations),
        logit_noise=decibels(target, logits),
    )


def hidden_tensor(model: onnx.ModelProto) -> str:
    """Return the name of the float tensor that the last layer multiplies (before rounding, if that is dynamic)."""
    makers = {name: node for node in model.graph.node for name in node.output}
    last = [node for node in model.graph.node if node.op_type in PRODUCTS][-1]
    maker = makers[last.input[0]]
    return str(maker.input[0] if maker.op_type == "DynamicQuantizeLinear" else last.input[0])


def logits_tensor(model: onnx.ModelProto) -> str:
    """Return the name of the tensor that the softmax is given."""
    return next(str(node.input[0]) for node in model.graph.node if node.op_type == "Softmax")


def decibels(signal: Float64, noisy: NDArray[np.floating]) -> float:
    """Return 10 log10 of the energy of a signal over that of its error."""
    return float(10 * np.log10(np.sum(signal**2) / np.sum((signal - noisy) ** 2)))


def measure_times(models: list[onnx.ModelProto], images: NDArray[np.uint8]) -> list[float]:
    """Return the median microseconds of one image, one thread, for each model; they take turns image by image."""
    sessions = [open_bytes(model.SerializeToString()) for model in models]
    times = np.zeros((RUNS, len(models)))
    for run in range(RUNS):
        feed = {INPUT_NAME: images[run % len(images)][None]}
        for place, session in enumerate(sessions):
            start = time.perf_counter()
            session.run([OUTPUT_NAME], feed)
            times[run, place] = time.perf_counter() - start
    return [float(value) for value in np.median(times, axis=0) * 1e6]


def open_bytes(content: bytes) -> Any:
    """Return an onnxruntime session on one thread, as a device opens one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, sess_options=options, providers=["CPUExecutionProvider"])


def _with_outputs(model: onnx.ModelProto, tensors: list[str]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in tensors)
    return copy
