"""Measuring a lake: the commands in turn, round after round, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

from fmnist_bench.lake.commands import Timing, offers_workers, time_lake, time_plain
from fmnist_bench.lake.images import draw_lake
from fmnist_bench.lake.s3_server import s3_server
from fmnist_bench.machine import load_average, machine, versions

QUIET: Final = 0.5  # processes that want a core; the command itself has not begun
KINDS: Final = {"dataset": 0.0, "photo": 1.0}
"""Names of the lakes, and the share of photos in each."""
Command: TypeAlias = Callable[[], Timing]


def measure(lakes: Path, images: int, rounds: int, s3_images: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Draw the lakes where they are missing, measure, and return all figures with what they were measured on."""
    load = load_average()
    if load is not None and load > QUIET:
        tell(f"The machine is not quiet (load {load:.2f}): these figures will not be good.")
    return {
        "images": images,
        "rounds": rounds,
        "load_before": load,
        "machine": machine(),
        "versions": _libraries(),
        "lakes": {kind: _measure_lake(lakes, kind, images, rounds, tell) for kind in KINDS},
        "s3": {kind: _measure_s3(lakes, kind, s3_images, tell) for kind in KINDS},
    }


def _libraries() -> dict[str, str]:
    """Return the versions of what the figures depend on, of ray and pyarrow, too."""
    return versions() | {name: version(name) for name in ("ray", "pyarrow")}


def _measure_lake(lakes: Path, kind: str, images: int, rounds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    folder = lakes / f"{kind}-{images}"
    tell(f"drawing {images} images in {folder}, where they are missing")
    draw_lake(folder, images, photos=KINDS[kind])
    size = sum(path.stat().st_size for path in folder.rglob("*.*"))
    with TemporaryDirectory(dir=lakes) as output:
        timings = _rounds(_commands(folder, images, Path(output)), rounds, kind, tell)
    return {"bytes_an_image": round(size / images), "timings": timings} | _compared(timings)


def _commands(folder: Path, images: int, output: Path) -> dict[str, Command]:
    rows = output / "rows.csv"
    commands: dict[str, Command] = {
        "classify": lambda: time_plain(folder, images, rows),
        "classify --threads 2": lambda: time_plain(folder, images, rows, "--threads", "2"),
        "classify-lake --workers 1": lambda: time_lake(str(folder), images, output / "one", 1),
        "classify-lake --workers 2": lambda: time_lake(str(folder), images, output / "two", 2),
    }
    if offers_workers():
        commands["classify --workers 2"] = lambda: time_plain(folder, images, rows, "--workers", "2")
    return commands


def _rounds(
    commands: dict[str, Command], rounds: int, kind: str, tell: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Return the median of each figure of each command; a round before, uncounted, brings the files into memory."""
    found: dict[str, list[Timing]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            timing = command()
            tell(f"{kind} {number}: {name}: {timing.seconds:.2f} s, {timing.rate:.0f} images/s")
            if number:
                found[name].append(timing)
    return {name: _medians(timings) for name, timings in found.items()}


def _medians(timings: list[Timing]) -> dict[str, float]:
    return {
        name: round(median(getattr(timing, name) for timing in timings), 4)
        for name in ("seconds", "rate", "running_seconds", "running_rate", "core_seconds")
    }


def _compared(timings: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return scaling and overhead, each of the whole command and of the time that the workers worked."""
    plain, one, two = (timings[name] for name in ("classify", "classify-lake --workers 1", "classify-lake --workers 2"))
    return {
        "scaling": round(two["rate"] / (2 * one["rate"]), 4),
        "running_scaling": round(two["running_rate"] / (2 * one["running_rate"]), 4),
        "overhead": round(one["seconds"] / plain["seconds"] - 1, 4),
        "running_overhead": round(plain["rate"] / one["running_rate"] - 1, 4),
    }


def _measure_s3(lakes: Path, kind: str, images: int, tell: Callable[[str], None]) -> dict[str, float]:
    """Return the core-seconds that an image out of S3 costs a worker; how fast it comes is the server's doing."""
    folder = lakes / f"{kind}-s3-{images}"
    draw_lake(folder, images, photos=KINDS[kind])
    with TemporaryDirectory(dir=lakes) as output, s3_server(Path(output) / "log.txt") as server:
        server.upload(folder, f"lake/{kind}")
        timing = time_lake(server.uri(f"lake/{kind}"), images, Path(output) / "s3", 1)
    tell(f"{kind} from S3: {1000 * timing.core_seconds / images:.3f} ms of a core an image")
    return {"images": images, "core_seconds_an_image": timing.core_seconds / images}
