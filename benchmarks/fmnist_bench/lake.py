"""What classifying a lake of images costs on Ray, against `classify`: `python -m fmnist_bench.lake` (make lake-bench).

The commands run in turn, round after round, so that what disturbs the machine disturbs all alike. Images a second leave
out Ray's start and end: the images after the first result file of each worker, by the time from there to the last file.
CPU time is that of a command and all its processes, those of Ray's cluster among them, for each image that a folder has
more than one of a tenth of its size: what else the machine does changes it less than a rate. Needs Linux.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, TypeAlias

import click
import numpy as np
import PIL.Image
import pyarrow
from pyarrow import parquet

from fmnist_edge.dataset import load_split

SEED: Final = 9
PHOTO_SIZE: Final = (300, 400)  # pixels; some 20 KB as JPEG
JPEG_QUALITY: Final = 85
QUIET: Final = 0.5  # load above which the page says that the machine was busy
MARKERS: Final = ("<!-- make lake-bench -->", "<!-- end -->")
PAGE: Final = Path(__file__).parents[2] / "docs" / "lake.md"
TENTH: Final = 10  # how much smaller the folders are that CPU time is compared with
PARTS_BEFORE: Final = 20  # result files of the checkout before
PR_SET_CHILD_SUBREAPER: Final = 36  # of prctl(2): waits for the grandchildren, and so counts their time
COMMAND: Final = "from fmnist_edge.cli.main import cli; cli(prog_name='fmnist-edge')"


class Cost(NamedTuple):
    """What a command costs."""

    whole: float
    """Images a second of the whole command."""
    running: float
    """Images a second without start and end."""
    cpu: float
    """Milliseconds of all processors for an image."""


Run: TypeAlias = tuple[float, float, float]
"""Seconds of a command, images a second while it ran, and seconds of all processors."""


def draw(folder: Path, pngs: int, photos: int = 0) -> Path:
    """Write images of the dataset as 28x28 PNG and, enlarged in colour with noise, as JPEG; return the folder.

    Files that are there already are left as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, random = load_split("test").images, np.random.default_rng(SEED)
    for path in _missing(folder / f"{number:06}.png" for number in range(pngs)):
        PIL.Image.fromarray(images[int(path.stem) % len(images)]).save(path)
    for path in _missing(folder / f"photo {number:06}.jpg" for number in range(photos)):
        number = int(path.stem.split()[1])
        large = np.asarray(PIL.Image.fromarray(255 - images[number % len(images)]).resize(PHOTO_SIZE), np.float64)
        noisy = large[..., None] * random.uniform(0.5, 1, 3) + random.normal(0, 4, (*large.shape, 3))
        PIL.Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=JPEG_QUALITY)
    return folder


def _missing(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if not path.exists()]


def pack(folder: Path, file: Path) -> Path:
    """Write the files of a folder into a column `image` of a Parquet file; return that."""
    contents = [path.read_bytes() for path in sorted(folder.iterdir())]
    parquet.write_table(pyarrow.table({"image": contents}), file)
    return file


def timed(arguments: Iterable[object], checkout: Path | None = None) -> tuple[float, float]:
    """Return the seconds that a command of this checkout or another takes, and those of all processors.

    Raises RuntimeError if it fails.
    """
    rooms = [str(checkout / room) for room in ("runtime", "train", "convert", "benchmarks")] if checkout else []
    environment = os.environ | ({"PYTHONPATH": os.pathsep.join(rooms)} if rooms else {})
    begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[3:])} ended with {done.returncode}: {done.stderr}")
    with suppress(ChildProcessError):
        while True:  # Ray's processes end a little later
            os.wait()
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def classify(folder: Path, images: int, scratch: Path) -> Run:
    """Run plain `classify`; it has no start to speak of."""
    rows = scratch / "rows.csv"
    rows.unlink(missing_ok=True)
    seconds, cpu = timed(["classify", "-q", "-r", "--format", "csv", "--output", rows, folder])
    return seconds, images / seconds, cpu


def lake(source: Path, images: int, scratch: Path, workers: int, before: Path | None = None) -> Run:
    """Run `classify-lake` with its own batch size; or that of another checkout, `before`."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    options = ["--column", "image"] if source.suffix == ".parquet" else []
    options += ["--part-size", str(images // PARTS_BEFORE)] if before else []
    seconds, cpu = timed(["classify-lake", "-q", source, "--out", out, "--workers", workers, *options], before)
    files = sorted(out.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    rows = [parquet.read_metadata(path).num_rows for path in files]
    if sum(rows) != images:
        raise RuntimeError(f"{sum(rows)} rows for {images} images")
    running = (files[-1].stat().st_mtime_ns - files[min(workers, len(files)) - 1].stat().st_mtime_ns) / 1e9
    return seconds, sum(rows[workers:]) / running if running else 0, cpu


def commands(scratch: Path, pngs: int, photos: int, before: Path | None) -> dict[str, dict[str, Callable[[], Run]]]:
    """Return what is to be run for each kind of image."""
    small, large = draw(scratch / f"png-{pngs}", pngs), draw(scratch / f"photo-{photos}", 0, photos)
    packed = pack(small, scratch / f"png-{pngs}.parquet")
    found: dict[str, dict[str, Callable[[], Run]]] = {}
    for kind, folder, count in (("28x28 PNG", small, pngs), ("photo", large, photos)):
        found[kind] = {"classify": partial(classify, folder, count, scratch)}
        for n in (1, 2):
            found[kind][f"classify-lake, {n} worker"] = partial(lake, folder, count, scratch, n)
            if before:
                found[kind][f"before, {n} worker"] = partial(lake, folder, count, scratch, n, before)
    found["28x28 PNG"]["column of a Parquet file, 1 worker"] = partial(lake, packed, pngs, scratch, 1)
    return found


def measure(scratch: Path, pngs: int, photos: int, rounds: int, before: Path | None) -> dict[str, dict[str, Cost]]:
    """Return the medians of each command for each kind of image; a round that does not count comes first."""
    counts = {"28x28 PNG": pngs, "photo": photos}
    all_of, tenth = (commands(scratch, pngs // part, photos // part, before) for part in (1, TENTH))
    found: dict[str, dict[str, list[Cost]]] = {kind: {name: [] for name in some} for kind, some in all_of.items()}
    for number in range(rounds + 1):
        for kind, some in all_of.items():
            for name, command in some.items():
                seconds, running, cpu = command()
                few = tenth[kind][name]()[2] if number else 0
                more = counts[kind] - counts[kind] // TENTH
                cost = Cost(counts[kind] / seconds, running, 1000 * (cpu - few) / more)
                said = f"{cost.whole:.0f}, running {cost.running:.0f} images/s, CPU {cost.cpu:.3f} ms"
                click.echo(f"{number} {kind}: {name}: {said}", err=True)
                if number:
                    found[kind][name].append(cost)
    return {
        kind: {name: Cost(*map(median, zip(*costs, strict=True))) for name, costs in some.items()}
        for kind, some in found.items()
    }


def table(found: dict[str, dict[str, Cost]], pngs: int, photos: int, rounds: int, load: float) -> str:
    """Return the figures as Markdown, with what they come to and where they were measured."""
    both = small, large = found["28x28 PNG"], found["photo"]
    lines = [
        f"| images/s, in brackets of the whole command; CPU ms an image | {pngs:,} 28x28 PNG | {photos:,} photos |",
        "|---|---:|---:|",
    ]
    for name in small:
        cells = [_cell(some[name]) if name in some else "" for some in both]
        lines.append(f"| {name}{'s' if '2' in name else ''} | {' | '.join(cells)} |")
    one, two, packed = "classify-lake, 1 worker", "classify-lake, 2 worker", "column of a Parquet file, 1 worker"
    scaling = [f"{some[two].running / some[one].running:.2f}" for some in both]
    lines += [
        f"| 1 worker takes longer than `classify` (goal: 60 %, 15 %) | {_over(small, one)} | {_over(large, one)} |",
        f"| the Parquet column takes longer (goal: 10 %) | {_over(small, packed)} | |",
        f"| 2 workers against 1 (goal for photos: 1.7) | {scaling[0]} | {scaling[1]} |",
        "",
        f"Medians of {rounds} round{'s' if rounds > 1 else ''} on {os.cpu_count()} cores of {_cpu()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "ray", "pyarrow"))
        + (f". The machine was busy with other work (load {load:.1f})." if load > QUIET else "."),
    ]
    return "\n".join(lines)


def _cell(cost: Cost) -> str:
    return f"{cost.running:,.0f} ({cost.whole:,.0f}); {cost.cpu:.3f}"


def _over(some: dict[str, Cost], name: str) -> str:
    time, cpu = some["classify"].running / some[name].running - 1, some[name].cpu / some["classify"].cpu - 1
    return f"{time:.0%}; CPU {cpu:.0%}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1] if found else "an unknown processor"


@click.command()
@click.option("--pngs", default=80_000, show_default=True)
@click.option("--photos", default=8_000, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Counted ones; one more comes before.")
@click.option(
    "--before", type=click.Path(path_type=Path, exists=True), help="A checkout of bcf3be2 to measure as well."
)
@click.option("--page", type=click.Path(path_type=Path, exists=True), default=PAGE, help="Where the table is put.")
@click.option("--scratch", type=click.Path(path_type=Path), default=Path("build/lakes"), show_default=True)
def main(pngs: int, photos: int, rounds: int, before: Path | None, page: Path, scratch: Path) -> None:
    """Measure, and write the table into a page."""
    load = os.getloadavg()[0]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    scratch.mkdir(parents=True, exist_ok=True)
    found = measure(scratch, pngs, photos, rounds, before and before.resolve())
    begin, end = MARKERS
    whole = f"{begin}\n{table(found, pngs, photos, rounds, load)}\n{end}"
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(f"{begin}.*?{end}", lambda _: whole, text, flags=re.DOTALL), encoding="utf-8")
    click.echo(whole)


if __name__ == "__main__":
    main()
