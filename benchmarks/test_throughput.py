"""Many pictures: 10,000 in memory, and a folder of 2,000 files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fmnist_bench import workloads
from fmnist_bench.backends import BACKENDS, OURS, Images, Network, environment
from fmnist_bench.models import Prepared
from fmnist_bench.timing import Measure, peak_bytes


@pytest.mark.benchmark(group="10,000 images")
@pytest.mark.parametrize("backend", BACKENDS)
def test_ten_thousand(
    backend: str, network: Network, model: Path, images: Images, prepared: Prepared, measure: Measure
) -> None:
    """Their answers, against the original's, are the parity that is printed beside the speed."""
    run = workloads.ten_thousand(network, images)
    extra = {"images": len(images), "bytes": model.stat().st_size} | prepared.parity(np.array(run()))
    measure(run, **extra)


@pytest.mark.benchmark(group="a folder of 2,000 PNG files")
@pytest.mark.parametrize("backend", [OURS, "pillow"])
def test_folder(backend: str, pictures: Path, measure: Measure) -> None:
    decode = workloads.label_once("pillow-folder", pictures)
    command = workloads.fmnist_edge("classify", "-r", pictures) if backend == OURS else decode
    memory = peak_bytes(command, environment())
    measure(workloads.process(command), images=workloads.FOLDER_FILES, peak_bytes=memory)
