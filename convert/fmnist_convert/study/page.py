"""The study from start to end: `make quantization-study` writes docs/quantization.md by it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from fmnist_convert.export import export_fp32
from fmnist_convert.int8_graph import build_int8
from fmnist_convert.network import Network, read_network
from fmnist_convert.original import open_original
from fmnist_convert.quantize import CALIBRATION, CHOICE, best_rounding, quantize, with_mirrored
from fmnist_convert.study.by_onnxruntime import TOOL_WAYS, quantize_by_tool
from fmnist_convert.study.measuring import Kept, measure_kept, measure_times
from fmnist_convert.study.plain_rounding import SEVEN_BITS, round_plainly
from fmnist_edge.atomic import write_atomically
from fmnist_edge.dataset import load_split

ROUNDED: Final = "paired, error-compensated, refitted"
SHIPPED: Final = "shipped: the same, refined"
HEADER: Final = (
    "| way | bytes | accuracy | same label as float | gap error | hidden SNR, dB | logit SNR, dB | time |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
ABOVE: Final = """# Ways to quantize the classifier

Made by `make quantization-study` from `train/artifacts/fmnist-mlp.keras`. Every figure but the time is of the 5,000
validation images; the test images take no part. Calibration sees images {calibration} of the training split."""
BELOW: Final = """\
- Same label: as the float network gives. Gap error: mean squared error of the difference of the two best logits; an
  image counts exp(-gap / 2), so those near a change of label count most. SNR: signal to noise, by the float network.
- Time: median of one image on one thread, as a ratio to fp32 in the same run.
- Bytes: without the metadata that a shipped file carries.
- Pair bound: relu(w[2k]) + relu(w[2k+1]) <= 128 and the same for -w. Without it, x86 CPUs without VNNI, which add
  pairs of products in 16 bits, may saturate and answer differently. 7 bits hold it too, at half the resolution; the
  other rows that do not say so break it and are there to compare.
- Dynamic quantization takes its scale from the whole batch, so an image's answer would depend on its neighbours.

## The rule of choice

Among the ways that hold the pair bound and give the same answer in any batch: the least gap error on training images
that nothing else has seen ({choice}). Within the shipped way the same
rule chooses, for each network anew, how far units are equalized, how much of the hidden range is kept, and whether
the refinement stays."""


def study_page(source: Path) -> str:
    """Quantize a .keras classifier in every way and return the table as a page (Markdown)."""
    fp32 = export_fp32(open_original(source, input_form="0..255"))
    train, validation = load_split("train"), load_split("validation")
    ways = list(_ways(fp32, train.images))
    kept = [measure_kept(model, network, validation) for _, model, network in ways]
    times = measure_times([model for _, model, _ in ways], validation.images)
    rows = [_row(way[0], one, time / times[0]) for way, one, time in zip(ways, kept, times, strict=True)]
    above = ABOVE.format(calibration="0, 5, 10, ...")
    below = BELOW.format(choice="4, 9, 14, ... of the training split, and the same mirrored")
    return "\n".join([above, "", *HEADER, *rows, "", below]) + "\n"


def _ways(fp32: onnx.ModelProto, images: NDArray[np.uint8]) -> Iterator[tuple[str, onnx.ModelProto, Network]]:
    """Give each way's title, its graph, and the float network with its units in the order of that graph."""
    network, calibration = read_network(fp32), images[CALIBRATION]
    yield "fp32", fp32, network
    for way in TOOL_WAYS:
        yield way.title, quantize_by_tool(fp32, way, calibration), network
    plain = {
        "nearest, min-max, one scale a layer": round_plainly(network, calibration, per_channel=False),
        "nearest, min-max, per channel": round_plainly(network, calibration),
        "the same, 7 bits (holds the bound)": round_plainly(network, calibration, limit=SEVEN_BITS),
        "the same, pair bound held by the scales": round_plainly(network, calibration, bounded=True),
    }
    for title, integers in plain.items():
        yield title, build_int8(integers), network
    rounded, best = best_rounding(network, calibration, with_mirrored(images[CHOICE])), quantize(network, images)
    yield ROUNDED, build_int8(rounded.network), rounded.origin
    yield SHIPPED, build_int8(best.network), best.origin


def _row(title: str, kept: Kept, time: float) -> str:
    cells = [
        title,
        f"{kept.size:,}",
        f"{kept.accuracy:.4f}",
        f"{kept.agreement:.2%}",
        f"{kept.gap_error:.5f}",
        f"{kept.hidden_noise:.1f}" if kept.hidden_noise < 100 else "exact",
        f"{kept.logit_noise:.1f}" if kept.logit_noise < 100 else "exact",
        f"{time:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    write_atomically(Path(sys.argv[2]), study_page(Path(sys.argv[1])))
