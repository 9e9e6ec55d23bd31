"""What is measured, and how it is timed.

For each group there is a function of no arguments that does its work once; several take turns, round by round.
`measure_runtime` measures the groups that need only the runtime: no pytest, no TensorFlow, no dataset.
"""

from __future__ import annotations

import gc
import io
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_bench import environment
from fmnist_bench.backends import BACKENDS, OURS, Images, Network
from fmnist_bench.models import Prepared, load_average
from fmnist_bench.report import COLD, FOLDER, IMPORT, MANY, ONE, PHOTO, PNG
from fmnist_edge.dataset import load_split
from fmnist_edge.errors import DataError, GateError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

Run = Callable[[], object]
Measure = Callable[..., None]
"""Takes a Run, and extra_info by name: the suite's fixture `measure`."""

# Long enough to hide a change of backend (caches, sleeping threads), short enough that a disturbance of a shared
# machine hits a few rounds of each backend and not all rounds of one.
ROUND_SECONDS: Final = 0.03
PROGRAMS: Final = Path(__file__).with_name("programs")
FOLDER_FILES: Final = 2000
PHOTOS: Final = {
    "28x28 PNG": (28, 28, "PNG"),
    "640x480 JPEG": (640, 480, "JPEG"),
    "640x480 PNG": (640, 480, "PNG"),
    "4000x3000 JPEG": (4000, 3000, "JPEG"),
}
"""The photos to classify: name to width, height and format."""
_DIFFERENT: Final = 500  # images in rotation, so that caches can't hold the one that comes next


def test_images(*, draw: bool = False) -> Images:
    """Return the dataset's test images, uint8 [10000, 28, 28]; with `draw`, blocks of noise if there is no dataset.

    Raises DataError.
    """
    try:
        return load_split("test").images
    except DataError:
        if not draw:
            raise
    noise = np.random.default_rng(0).integers(0, 256, (10_000, 7, 7), np.uint8)
    return noise.repeat(4, axis=1).repeat(4, axis=2)


def picture_file(pixels: NDArray[np.uint8], form: str = "PNG") -> bytes:
    """Return an array as an image file, as Pillow writes it."""
    content = io.BytesIO()
    PIL.Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def photo(image: NDArray[np.uint8], form: str) -> bytes:
    """Return a file that is as costly to decode as a photo: a garment in colour on a light background, with noise."""
    width, height, kind = PHOTOS[form]
    garment = PIL.Image.fromarray(255 - image).resize((width, height), PIL.Image.Resampling.BICUBIC)
    tile = np.random.default_rng(0).normal(0, 4, (min(height, 500), min(width, 500), 3))
    noise = np.tile(tile, (-(-height // len(tile)), -(-width // tile.shape[1]), 1))[:height, :width]
    colours = np.asarray(garment)[..., None] * np.array([1.0, 0.95, 0.9]) + noise
    return picture_file(colours.clip(0, 255).astype(np.uint8), kind)


def one_image(network: Network, images: Images) -> Run:
    """Run the model alone on one image after the other; scaling to its input is not included."""
    following = itertools.cycle([network.prepare(image[None]) for image in images[:_DIFFERENT]]).__next__
    return lambda: network.run(following())


def png_to_label(network: Network, images: Images) -> Run:
    """Go from the bytes of a 28x28 PNG file to its label."""
    following = itertools.cycle([picture_file(image) for image in images[:_DIFFERENT]]).__next__
    return lambda: network.label(following())


def photo_to_label(network: Network, images: Images, form: str) -> Run:
    """Go from the bytes of a photo to its label."""
    return partial(network.label, photo(images[0], form))


def ten_thousand(network: Network, images: Images) -> Run:
    """Run the model alone on all test images at once; scaling is not included."""
    return partial(network.run_many, network.prepare(images))


def process(command: Sequence[str], expected: str = "") -> Run:
    """Run a whole process from start to end. Raises GateError if it does not print `expected`."""
    variables = environment()

    def run() -> None:
        printed = start(command, variables)
        if expected not in printed:
            raise GateError(f"{' '.join(command[:3])} printed {printed.strip()[:80]!r}, not {expected!r}")

    return run


def fmnist_edge(*arguments: object) -> list[str]:
    """Return the command line of `fmnist-edge`: the installed script, or the module behind it."""
    script = Path(sys.executable).with_name("fmnist-edge.exe" if sys.platform == "win32" else "fmnist-edge")
    way = [str(script)] if script.is_file() else [sys.executable, "-m", "fmnist_edge"]
    return [*way, *map(str, arguments)]


def label_once(backend: str, *paths: Path) -> list[str]:
    """Return the command that prints the class of (model, PNG): ours, or the shortest program of another backend.

    For "pillow-folder", (folder): the command that only decodes every file.
    """
    if backend == OURS:
        return fmnist_edge("classify", "--model", *paths)
    return [sys.executable, str(PROGRAMS / "label.py"), backend, *map(str, paths)]


def write_folder(images: Images, target: Path) -> Path:
    """Write FOLDER_FILES test images as PNG files."""
    target.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images[:FOLDER_FILES]):
        (target / f"{number:05}.png").write_bytes(picture_file(image))
    return target


@dataclass(frozen=True)
class Turn:
    """A function that takes turns with others: `rounds` of `iterations` calls."""

    run: Run
    iterations: int
    rounds: int
    record: Callable[[float], object]  # receives the seconds of each round


def calibrate(run: Run, seconds: float, fewest: int) -> tuple[int, int]:
    """Return (iterations, rounds) that take about `seconds` in total, at least `fewest` rounds; this also warms up."""
    run()
    iterations = 1
    while (taken := timed(run, iterations)) < ROUND_SECONDS / 4:
        iterations *= 2
    return max(1, round(ROUND_SECONDS * iterations / taken)), max(fewest, int(seconds / max(ROUND_SECONDS, taken)))


def timed(run: Run, iterations: int = 1) -> float:
    """Return the seconds that a number of calls take, with garbage collection off."""
    turns, enabled = range(iterations), gc.isenabled()
    gc.disable()
    try:
        begun = time.perf_counter()
        for _ in turns:
            run()
        return time.perf_counter() - begun
    finally:
        if enabled:
            gc.enable()


def interleave(turns: Sequence[Turn]) -> None:
    """Run the rounds of all turns in rotation, each time starting with another one.

    A turn with fewer rounds has them spread evenly over the time of the others.
    """
    most = max((turn.rounds for turn in turns), default=0)
    for number in range(most):
        first = number % len(turns)
        for turn in [*turns[first:], *turns[:first]]:
            if (number + 1) * turn.rounds // most > number * turn.rounds // most:
                turn.record(timed(turn.run, turn.iterations))


def start(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """Run a command, by default in `environment()`, and return its output. Raises GateError if it fails."""
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, env=environment() if variables is None else variables, **options)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise GateError(f"{' '.join(command[:3])} failed: {reason}")
    return str(done.stdout)


# A small process starts the command, because Linux includes the memory of the parent in the child's peak.
_PEAK: Final = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def peak_bytes(command: Sequence[str]) -> int | None:
    """Return the largest resident memory of a command; None on Windows, which doesn't report it."""
    if sys.platform == "win32":
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * int(start([sys.executable, "-I", "-S", "-c", _PEAK, *command]))


def stats_of(data: Sequence[float], iterations: int) -> dict[str, Any]:
    """Return `stats` as in pytest-benchmark's JSON, from the seconds per call of each round; at least two rounds."""
    q1, median, q3 = statistics.quantiles(data, method="inclusive")
    mean, stddev, low, high = statistics.fmean(data), statistics.stdev(data), 2.5 * q1 - 1.5 * q3, 2.5 * q3 - 1.5 * q1
    far, odd = sum(abs(one - mean) > stddev for one in data), sum(not low <= one <= high for one in data)
    found = {"min": min(data), "max": max(data), "mean": mean, "stddev": stddev, "rounds": len(data), "median": median}
    found |= {"iqr": q3 - q1, "q1": q1, "q3": q3, "iqr_outliers": odd, "stddev_outliers": far}
    found |= {"ld15iqr": min(one for one in data if one >= low), "hd15iqr": max(one for one in data if one <= high)}
    found |= {"ops": 1 / mean, "total": sum(data)}
    return found | {"outliers": f"{far};{odd}", "data": list(data), "iterations": iterations}


def measure_runtime(
    model: Path | None, images: Images, scratch: Path, seconds: float, fewest: int, on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Return rows in pytest-benchmark's form, named as in the suite; each takes about `seconds`."""
    load, int8, rows = load_average(), model or EMBEDDED_CLASSIFIER, []
    for group, test, param, run, extra in _runtime_rows(int8, images, scratch):
        on_step(f"{group}: {param}")
        iterations, rounds = calibrate(run, seconds, fewest)
        taken: list[float] = []
        interleave([Turn(run, iterations, rounds, taken.append)])
        name = f"test_{test}[{param}]"
        row: dict[str, Any] = {"group": group, "name": name, "fullname": f"test_benchmarks.py::{name}", "params": None}
        row |= {"param": param, "extra_info": extra, "options": {"disable_gc": True}}
        rows.append(row | {"stats": stats_of([one / iterations for one in taken], iterations)})
    about = Prepared(int8).about(load) | {"missing": {}}
    run_info = {"machine_info": {}, "commit_info": {}, "datetime": datetime.now(UTC).isoformat(), "version": ""}
    return run_info | {"benchmarks": rows, "fmnist_edge": about}


def _runtime_rows(int8: Path, images: Images, scratch: Path) -> Iterator[tuple[str, str, str, Run, dict[str, Any]]]:
    """Yield group, test and parameter of the suite's benchmark that measures the same; what runs; extra_info."""
    for key in (OURS, "onnxruntime-int8"):
        network, many = BACKENDS[key].open(int8), {"images": len(images), "bytes": int8.stat().st_size}
        yield ONE, "one_image", key, one_image(network, images), {}
        yield PNG, "png_to_label", key, png_to_label(network, images), {}
        yield MANY, "ten_thousand", key, ten_thousand(network, images), many
    for form in PHOTOS if int8 == EMBEDDED_CLASSIFIER else ():
        photos = BACKENDS[OURS].open(EMBEDDED_PHOTO_MODEL)
        yield PHOTO, "photo_to_label", form, photo_to_label(photos, images, form), {}
    pictures = write_folder(images, scratch / "folder")
    for group, test, param, command, extra in (
        (FOLDER, "folder", OURS, fmnist_edge("classify", "-r", pictures), {"images": FOLDER_FILES}),
        (COLD, "cold_start", OURS, label_once(OURS, int8, pictures / "00000.png"), {}),
        (IMPORT, "import", "fmnist_edge", [sys.executable, "-c", "import fmnist_edge"], {}),
    ):
        yield group, test, param, process(command), extra | {"peak_bytes": peak_bytes(command)}
