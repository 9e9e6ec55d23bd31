"""One picture at a time, warm."""

from __future__ import annotations

import pytest

from fmnist_bench import workloads
from fmnist_bench.backends import BACKENDS, OURS, Images, Network
from fmnist_bench.timing import Measure
from fmnist_edge.model_info import EMBEDDED_PHOTO_MODEL


@pytest.mark.benchmark(group="one image")
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_image(backend: str, network: Network, images: Images, measure: Measure) -> None:
    measure(workloads.one_image(network, images))


@pytest.mark.benchmark(group="one PNG to its label")
@pytest.mark.parametrize("backend", BACKENDS)
def test_png_to_label(backend: str, network: Network, images: Images, measure: Measure) -> None:
    measure(workloads.png_to_label(network, images))


@pytest.mark.benchmark(group="one photo to its label")
@pytest.mark.parametrize("form", workloads.PHOTOS)
def test_photo_to_label(form: str, images: Images, measure: Measure, pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--model"):
        pytest.skip("photos: the shipped model, measured without --model, classifies them")
    measure(workloads.photo_to_label(BACKENDS[OURS].open(EMBEDDED_PHOTO_MODEL), images, form))
