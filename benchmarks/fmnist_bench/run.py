"""A whole run: everything that is measured, in one report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from fmnist_bench.bench_report import Entrant, Report
from fmnist_bench.contenders.registry import CONTENDERS, Contender
from fmnist_bench.goals import reached_goals
from fmnist_bench.machine import load_average, machine, versions
from fmnist_bench.measuring.inputs import TestImages, load_test_images, png_of, write_folder, write_test_images
from fmnist_bench.measuring.plan import FULL, Plan, cores
from fmnist_bench.measuring.probing import Probe, measure_sides, rows_of, this_side
from fmnist_bench.models import Prepared, find_original, prepare_models
from fmnist_edge.contract import LABELS
from fmnist_edge.dataset import SHA256
from fmnist_edge.errors import MissingExtraError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, read_side_json, read_vectors

# Time for a row in each process of a comparison: with less, a busy machine's noise hides what it should show.
_COMPARED_SECONDS: Final = 0.5
OnStep = Callable[[str], None]
_NEVER_MEASURED: Final = (
    "energy",
    "GPUs, NPUs and other accelerators",
    "cold starts from an empty file cache",
    "the photo model",
)


@dataclass(frozen=True)
class Request:
    """What to measure, and where to work."""

    plan: Plan = FULL
    folder: Path = Path("build/bench")
    """Models, images, raw data."""
    original: Path | None = None
    """The Keras original; None looks for that of the checkout."""
    data: Path | None = None
    require_all: bool = False
    """Whether a contender that cannot run is an error."""


def run_suite(request: Request, on_step: OnStep) -> Report:
    """Measure all contenders. Raises DataError, ModelError, GateError, or MissingExtraError with `require_all`."""
    from fmnist_bench.measuring.cold_start import measure_cold_starts
    from fmnist_bench.measuring.folders import measure_folder
    from fmnist_bench.measuring.rounds import measure_rounds
    from fmnist_bench.sizes import measure_sizes

    plan, folder, loads = request.plan, request.folder, [load_average()]
    on_step("preparing the models")
    prepared = prepare_models(find_original(request.original), folder / "models")
    if request.require_all:
        _require(prepared)
    images, png = _inputs(folder, write_test_images(folder / _IMAGES, request.data))
    shutil.rmtree(folder / "raw", ignore_errors=True)
    measured = measure_rounds(_rounds(plan, prepared, folder), folder / "raw", on_step)
    label = LABELS[int(images.labels[0])]
    rows = measured.rows + measure_cold_starts(prepared.folder, png, label, plan.cold_starts, on_step)
    for count in plan.folders:
        rows += measure_folder(write_folder(images.pixels, folder / "png", count), count, plan.folder_runs, on_step)
    device = _device_rows(folder, plan, len(images.pixels), on_step)
    on_step("measuring sizes")
    sizes = measure_sizes(prepared.folder)
    entrants = [_entrant(one, prepared, measured.accuracies) for one in CONTENDERS]
    loads.append(load_average())
    facts = {"entrants": entrants, "rows": rows, "sizes": sizes, "goals": reached_goals(rows)}
    return _report(plan.name, device, _dataset(len(images.pixels)), loads, **facts)


def run_device(request: Request, on_step: OnStep) -> Report:
    """Measure the runtime alone: on any device, without TensorFlow, pytest, or the dataset."""
    folder, loads = request.folder, [load_average()]
    images, _ = _inputs(folder, _images_at_hand(folder, request.data))
    rows = _device_rows(folder, request.plan, len(images.pixels), on_step)
    loads.append(load_average())
    return _report("device", rows, _dataset(len(images.pixels)), loads)


_IMAGES: Final = "test-images.npz"
_PNG: Final = "image.png"


def steps(request: Request, *, device: bool) -> int:
    """Return how often `on_step` will be called."""
    plan = request.plan
    if device:
        return plan.rounds
    tasks = sum(len(tasks) for tasks in _rounds(plan, None, request.folder))
    return 2 + tasks + plan.cold_starts + 1 + len(plan.folders) * (plan.folder_runs + 1) + plan.rounds


def _rounds(plan: Plan, prepared: Prepared | None, folder: Path) -> list[list[Any]]:
    """Return the tasks of each round: every family that can run, at one thread and at all cores."""
    from fmnist_bench.measuring.in_process import Task

    families = dict.fromkeys(one.family for one in CONTENDERS if prepared is None or not _why_not(one, prepared))
    models, images = str(folder / "models"), str(folder / _IMAGES)
    return [
        [
            Task(models, images, family, threads, plan.seconds, plan.fewest_runs)
            for family in families
            if number < (plan.slow_rounds if family == "keras" else plan.rounds)
            for threads in (sorted({1, cores()}) if number < plan.all_cores_rounds else [1])
        ]
        for number in range(plan.rounds)
    ]


def _require(prepared: Prepared) -> None:
    for one in CONTENDERS:
        why = _why_not(one, prepared)
        if why:
            raise MissingExtraError("bench", "bench", f"{one.title} ({why})")


def _why_not(one: Contender, prepared: Prepared) -> str | None:
    """Say why a contender cannot run here."""
    missing = one.missing()
    return f"{missing} is not installed" if missing else prepared.missing.get(one.model)


def _entrant(one: Contender, prepared: Prepared, accuracies: dict[str, float]) -> Entrant:
    why = _why_not(one, prepared)
    size = None if why or one.is_part else (prepared.folder / one.model).stat().st_size
    return Entrant(one.key, one.title, why or "measured", one.is_ours, one.is_part, accuracies.get(one.key), size)


def _images_at_hand(folder: Path, data: Path | None) -> TestImages:
    """Return the test images, or where the dataset is not on this device, those of the self-test over and over."""
    import base64

    from fmnist_edge.errors import DataError

    try:
        return write_test_images(folder / _IMAGES, data)
    except DataError:
        if data is not None:
            raise
    entries = read_vectors(EMBEDDED_CLASSIFIER)["images"]
    pixels = np.stack([np.frombuffer(base64.b64decode(one["pixels"]), np.uint8).reshape(28, 28) for one in entries])
    many = np.resize(pixels, (10_000, 28, 28))
    (folder / _IMAGES).parent.mkdir(parents=True, exist_ok=True)
    with (folder / _IMAGES).open("wb") as file:
        np.savez(file, pixels=many, labels=np.zeros(len(many), np.uint8))
    return load_test_images(folder / _IMAGES)


def _inputs(folder: Path, images: TestImages) -> tuple[TestImages, Path]:
    """Keep the first image as a file, too."""
    (folder / _PNG).write_bytes(png_of(images.pixels[0]))
    return images, folder / _PNG


def prepare_probe(request: Request) -> Probe:
    """Lay out the images, and return what is measured of an installation. Raises DataError if `data` holds none."""
    _inputs(request.folder, _images_at_hand(request.folder, request.data))
    return replace(_probe(request.folder, request.plan), seconds=_COMPARED_SECONDS)


def _probe(folder: Path, plan: Plan) -> Probe:
    return Probe(folder / _IMAGES, folder / _PNG, seconds=plan.seconds)


def _device_rows(folder: Path, plan: Plan, images: int, on_step: OnStep) -> list[Any]:
    (samples,) = measure_sides([this_side()], _probe(folder, plan), plan.rounds, on_step)
    return rows_of(samples, images)


def _dataset(images: int) -> dict[str, Any]:
    return {"name": "Fashion-MNIST", "images": images, "sha256": SHA256["t10k-images-idx3-ubyte"]}


def _report(
    plan: str, device: Sequence[Any], dataset: dict[str, Any], loads: Sequence[float | None], **suite: Any
) -> Report:
    facts = read_side_json(EMBEDDED_CLASSIFIER)
    model = {name: facts[name] for name in ("name", "version", "sha256", "bytes")}
    return Report(
        plan=plan,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine={**machine(), "load_before": loads[0], "load_after": loads[1]},
        versions=versions(),
        model={**model, "original_sha256": facts["original"]["sha256"]},
        dataset=dataset,
        not_measured=list(_NEVER_MEASURED),
        device=device,
        **suite,
    )
