"""What classifying a lake of images costs on Ray, against `classify`: `python -m fmnist_bench.lake` (make lake-bench).

The commands run in turn, round after round, so that what disturbs the machine disturbs all alike. A rate "while it
runs" leaves out Ray's start and end: the images after the first result file, by the time until the last one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

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
# Files of a result: enough of them in a run that leaving out the first one costs little.
FILES: Final = 20
COMMAND: Final = "from fmnist_edge.cli.main import cli; cli(prog_name='fmnist-edge')"


class Rate(NamedTuple):
    """Images a second."""

    whole: float
    """Of the whole command."""
    running: float
    """While it runs."""


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


def timed(arguments: Iterable[object], checkout: Path | None) -> float:
    """Return the seconds that a command takes, of this checkout or another. Raises RuntimeError if it fails."""
    rooms = [str(checkout / room) for room in ("runtime", "train", "convert", "benchmarks")] if checkout else []
    environment = os.environ | ({"PYTHONPATH": os.pathsep.join(rooms)} if rooms else {})
    begun = time.perf_counter()
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[3:])} ended with {done.returncode}: {done.stderr}")
    return time.perf_counter() - begun


def classify(folder: Path, images: int, scratch: Path) -> Rate:
    """Measure plain `classify`; it has no start to speak of."""
    rows = scratch / "rows.csv"
    rows.unlink(missing_ok=True)
    rate = images / timed(["classify", "-q", "-r", "--format", "csv", "--output", rows, folder], None)
    return Rate(rate, rate)


def lake(source: Path, images: int, scratch: Path, workers: int, *, before: Path | None = None) -> Rate:
    """Measure `classify-lake`, of another checkout in `before`."""
    out, size = scratch / "out", images // FILES
    shutil.rmtree(out, ignore_errors=True)
    column = ["--column", "image"] if source.suffix == ".parquet" else []
    option = "--part-size" if before else "--batch-size"
    seconds = timed(["classify-lake", "-q", source, "--out", out, "--workers", workers, option, size, *column], before)
    files = sorted(out.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    rows = [parquet.read_metadata(path).num_rows for path in files]
    if sum(rows) != images:
        raise RuntimeError(f"{sum(rows)} rows for {images} images")
    running = (files[-1].stat().st_mtime_ns - files[0].stat().st_mtime_ns) / 1e9
    return Rate(images / seconds, sum(rows[1:]) / running)


def measure(scratch: Path, pngs: int, photos: int, rounds: int, before: Path | None) -> dict[str, dict[str, Rate]]:
    """Return the median rates of each command for each kind of image; a round that does not count comes first."""
    small, large = draw(scratch / f"png-{pngs}", pngs), draw(scratch / f"photo-{photos}", 0, photos)
    packed = pack(small, scratch / f"png-{pngs}.parquet")
    commands = {
        "28x28 PNG": {"classify": lambda: classify(small, pngs, scratch)}
        | {f"classify-lake, {n} worker": lambda n=n: lake(small, pngs, scratch, n) for n in (1, 2)}
        | {"column of a Parquet file, 1 worker": lambda: lake(packed, pngs, scratch, 1)},
        "photo": {"classify": lambda: classify(large, photos, scratch)}
        | {f"classify-lake, {n} worker": lambda n=n: lake(large, photos, scratch, n) for n in (1, 2)},
    }
    if before:
        for kind, folder, count in (("28x28 PNG", small, pngs), ("photo", large, photos)):
            for n in (1, 2):
                commands[kind][f"before, {n} worker"] = lambda n=n, folder=folder, count=count: lake(
                    folder, count, scratch, n, before=before
                )
    found: dict[str, dict[str, list[Rate]]] = {kind: {name: [] for name in some} for kind, some in commands.items()}
    for number in range(rounds + 1):
        for kind, some in commands.items():
            for name, command in some.items():
                rate = command()
                click.echo(f"{number} {kind}: {name}: {rate.whole:.0f}, running {rate.running:.0f} images/s", err=True)
                if number:
                    found[kind][name].append(rate)
    return {
        kind: {name: Rate(*map(median, zip(*rates, strict=True))) for name, rates in some.items()}
        for kind, some in found.items()
    }


def table(found: dict[str, dict[str, Rate]], pngs: int, photos: int, rounds: int, load: float) -> str:
    """Return the figures as Markdown, with what they come to and where they were measured."""
    both = small, _ = found["28x28 PNG"], found["photo"]
    lines = [f"| images/s, in brackets of the whole command | {pngs:,} 28x28 PNG | {photos:,} photos |"]
    lines.append("|---|---:|---:|")
    for name in small:
        cells = [f"{some[name].running:,.0f} ({some[name].whole:,.0f})" if name in some else "" for some in both]
        lines.append(f"| {name}{'s' if '2' in name else ''} | {' | '.join(cells)} |")
    one, two, packed = "classify-lake, 1 worker", "classify-lake, 2 worker", "column of a Parquet file, 1 worker"
    over = [f"{some['classify'].running / some[one].running - 1:.0%}" for some in both]
    over_packed = small["classify"].running / small[packed].running - 1
    scaling = [f"{some[two].running / some[one].running:.2f}" for some in both]
    lines += [
        f"| overhead of 1 worker against `classify` (goal: 60 %, 15 %) | {over[0]} | {over[1]} |",
        f"| overhead of the Parquet column (goal: 10 %) | {over_packed:.0%} | |",
        f"| 2 workers against 1 (goal for photos: 1.7) | {scaling[0]} | {scaling[1]} |",
        "",
        f"Medians of {rounds} round{'s' if rounds > 1 else ''} on {os.cpu_count()} cores of {_cpu()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "ray", "pyarrow"))
        + (f". The machine was busy with other work (load {load:.1f})." if load > QUIET else "."),
    ]
    return "\n".join(lines)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1] if found else "an unknown processor"


@click.command()
@click.option("--pngs", default=20_000, show_default=True)
@click.option("--photos", default=2_000, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Counted ones; one more comes before.")
@click.option("--before", type=click.Path(path_type=Path, exists=True), help="A checkout of bcf3be2, measured, too.")
@click.option("--page", type=click.Path(path_type=Path, exists=True), default=PAGE, help="Where the table is put.")
@click.option("--scratch", type=click.Path(path_type=Path), default=Path("build/lakes"), show_default=True)
def main(pngs: int, photos: int, rounds: int, before: Path | None, page: Path, scratch: Path) -> None:
    """Measure, and write the table into a page."""
    load = os.getloadavg()[0]
    scratch.mkdir(parents=True, exist_ok=True)
    found = measure(scratch, pngs, photos, rounds, before and before.resolve())
    begin, end = MARKERS
    whole = f"{begin}\n{table(found, pngs, photos, rounds, load)}\n{end}"
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(f"{begin}.*?{end}", lambda _: whole, text, flags=re.DOTALL), encoding="utf-8")
    click.echo(whole)


if __name__ == "__main__":
    main()
