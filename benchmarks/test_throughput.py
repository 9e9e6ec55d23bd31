"""Many pictures: 10,000 in memory, and a folder of 2,000 files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmnist_bench import workloads
from fmnist_bench.backends import BACKENDS, OURS, Network, environment
from fmnist_bench.models import Prepared
from fmnist_bench.timing import peak_bytes

if TYPE_CHECKING:
    from conftest import Measure


@pytest.mark.benchmark(group="10,000 images")
@pytest.mark.parametrize("backend", BACKENDS)
def test_ten_thousand(
    backend: str, network: Network, model: Path, inputs: workloads.Inputs, prepared: Prepared, measure: Measure
) -> None:
    """Their answers, against the original's, are the parity that is printed beside the speed."""
    from fmnist_convert.original import as_probabilities
    from fmnist_convert.parity import measure_parity

    run, extra = workloads.ten_thousand(network, inputs), {"images": len(inputs.pixels), "bytes": model.stat().st_size}
    reference = prepared.reference()
    if reference is not None:
        answers = np.array(run())
        if answers.min() < 0 or np.abs(answers.sum(axis=1) - 1).max() > 0.1:  # a Keras model that gives logits
            answers = as_probabilities(answers, "logits")
        extra |= measure_parity(answers, reference, inputs.labels).as_facts()
    measure(run, **extra)


@pytest.mark.benchmark(group="a folder of 2,000 PNG files")
@pytest.mark.parametrize("backend", [OURS, "pillow"])
def test_folder(backend: str, pictures: Path, measure: Measure) -> None:
    command = workloads.folder(backend, pictures)
    memory = peak_bytes(command, environment())
    measure(workloads.process(command), images=workloads.FOLDER_FILES, peak_bytes=memory)
