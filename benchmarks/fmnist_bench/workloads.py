"""What is measured: the pictures, and for each group a function of no arguments that does its work once.

`measure_runtime` measures the groups that need only the runtime: no pytest, no TensorFlow, no dataset.
"""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fmnist_bench.backends import BACKENDS, OURS, Images, Network
from fmnist_bench.models import Prepared, load_average
from fmnist_bench.report import COLD, FOLDER, IMPORT, MANY, ONE, PHOTO, PNG
from fmnist_bench.timing import Run, Turn, calibrate, environment, interleave, peak_bytes, start, stats_of
from fmnist_edge.dataset import load_split
from fmnist_edge.errors import DataError, GateError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

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
