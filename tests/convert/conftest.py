"""The shipped original, converted once for all tests of this room."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SHIPPED_KERAS = ROOT / "train" / "artifacts" / "fmnist-mlp.keras"


@pytest.fixture(scope="session")
def original() -> Any:
    from fmnist_convert.original import open_original

    return open_original(SHIPPED_KERAS, input_form="0..255")


@pytest.fixture(scope="session")
def fp32(original: Any) -> Any:
    from fmnist_convert.export import export_fp32

    return export_fp32(original)


@pytest.fixture(scope="session")
def quantized(fp32: Any) -> Any:
    from fmnist_convert.network import read_network
    from fmnist_convert.quantize import quantize
    from fmnist_edge.dataset import load_split

    return quantize(read_network(fp32), load_split("train").images)


@pytest.fixture(scope="session")
def conversion(quantized: Any) -> Any:
    """Convert with the integers of `quantized`, which are what it would find itself (a test converts anew)."""
    from fmnist_convert import pipeline

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "quantize", lambda *_: quantized)
        return pipeline.convert(SHIPPED_KERAS)


@pytest.fixture(scope="session")
def test_split() -> Any:
    from fmnist_edge.dataset import load_split

    return load_split("test")


@pytest.fixture(scope="session")
def stress_images() -> Any:
    """Return images that no garment looks like: noise, all 0, all 255, stripes both ways."""
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (200, 28, 28)).astype(np.uint8)
    columns = np.zeros((28, 28), np.uint8)
    columns[:, ::2] = 255
    plain = [np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8), columns, columns.T, 255 - columns]
    return np.concatenate([noise, np.stack(plain)])


@pytest.fixture(scope="session")
def script() -> str:
    """Return the installed `fmnist-edge` entry point."""
    return str(Path(sys.executable).with_name("fmnist-edge"))
