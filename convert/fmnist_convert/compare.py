"""Parity between any two model files."""

from __future__ import annotations

from pathlib import Path

from fmnist_convert.parity import Parity, measure_parity
from fmnist_convert.predictors import open_predictor
from fmnist_edge.dataset import SplitName, load_split


def compare(first: Path, second: Path, *, split: SplitName = "test", data: Path | None = None) -> Parity:
    """Measure `second` against `first` (.keras or .onnx each) on a split of the dataset.

    Raises ModelError and DataError.
    """
    images = load_split(split, data)
    reference, probabilities = (open_predictor(path)(images.images) for path in (first, second))
    return measure_parity(probabilities, reference, images.labels)
