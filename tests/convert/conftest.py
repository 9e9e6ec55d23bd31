"""The shipped original, converted once for all tests of this room."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from fmnist_edge.model_info import EMBEDDED_CLASSIFIER

ROOT = Path(__file__).parents[2]
SHIPPED_VERSION = "1.1.0"
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
def chain(fp32: Any) -> Any:
    from fmnist_convert.dense_chain import read_dense_chain

    return read_dense_chain(fp32)


@pytest.fixture(scope="session")
def quantized(chain: Any) -> Any:
    """Return the shipped integers, which is what quantization finds (a test runs it anew)."""
    from fmnist_convert.quantize_mlp import Quantized

    from .chains import read_integers

    shipped = read_integers(onnx.load(EMBEDDED_CLASSIFIER))
    return Quantized(shipped, chain, 0.3, 1.0, True, 0.0015)


@pytest.fixture(scope="session")
def conversion(quantized: Any) -> Any:
    import fmnist_convert.convert as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "quantize_mlp", lambda *_, **__: quantized)
        return module.convert(SHIPPED_KERAS, model_version=SHIPPED_VERSION)


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
