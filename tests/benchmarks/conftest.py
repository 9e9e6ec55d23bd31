"""The contenders' models and the test images, made once; a real report to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fmnist_bench.bench_report import Report, read_report
from fmnist_bench.measuring.inputs import TestImages, png_of, write_test_images
from fmnist_bench.measuring.probing import Probe
from fmnist_bench.models import Prepared, find_original, prepare_models

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "bench.json"


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="session")
def prepared(work: Path) -> Prepared:
    return prepare_models(find_original(None), work / "models")


@pytest.fixture(scope="session")
def images(work: Path) -> TestImages:
    return write_test_images(work / "test-images.npz")


@pytest.fixture(scope="session")
def probe(work: Path, images: TestImages) -> Probe:
    png = work / "image.png"
    png.write_bytes(png_of(images.pixels[0]))
    return Probe(work / "test-images.npz", png, figures=["one-image"], seconds=0.2)


@pytest.fixture(scope="session")
def published() -> Report:
    """The run that the README shows."""
    return read_report(PUBLISHED)
