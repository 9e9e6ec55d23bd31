"""Running the workload on one device and judging what came back."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fmnist_bench.devices.answers import (
    IncompleteError,
    PhotoAnswers,
    expected_answers,
    read_classifier,
    read_photos,
    read_report,
)
from fmnist_bench.devices.checks import (
    ClassifierDifference,
    PhotoDifference,
    broken_classifier_limits,
    broken_photo_limits,
    compare_classifier,
    compare_photos,
)
from fmnist_bench.devices.device import SLOW_IMAGES, Command, Device, Promise
from fmnist_bench.devices.result import FaultResult, Result
from fmnist_bench.devices.tools import NotAvailableError, Tools, last_line
from fmnist_bench.devices.workload import ALONE, CLASSIFIER, PHOTO, SCENES, Workload

ROW_SECONDS: Final = 1_800  # the slowest row, the standard's evaluator, takes about six minutes


@dataclass(frozen=True)
class Run:
    """A device's answers on this many images and photos."""

    device: Device
    command: Command
    folder: Path
    images: int
    photos: int
    report: dict[str, Any]


def run_device(device: Device, workload: Workload, tools: Tools, answers: Path, reference: Path) -> Result:
    """Run the workload on a device; `reference` has the answers of this machine, for the photos."""
    reasons = []
    for method in device.methods:
        try:
            command = method(tools)
        except NotAvailableError as missing:
            reasons.append(str(missing))
            continue
        return _run_command(device, command, workload, answers, reference)
    return Result(device, "not run", tuple(reasons))


def _run_command(device: Device, command: Command, workload: Workload, answers: Path, reference: Path) -> Result:
    shutil.rmtree(answers, ignore_errors=True)
    answers.mkdir(parents=True)
    images = SLOW_IMAGES if command.slow else len(workload.images)
    photos = SCENES if command.slow else workload.photos
    models = [CLASSIFIER, PHOTO, *([device.fault] if device.fault else [])]
    line = [*command.line, str(workload.folder), str(answers), str(images), str(photos), *models]
    try:
        subprocess.run(
            line, env=os.environ | command.environment, capture_output=True, text=True, timeout=ROW_SECONDS, check=True
        )
        run = Run(device, command, answers, images, photos, read_report(answers))
        return _judged(run, workload, read_photos(reference / PHOTO, workload.photos))
    except subprocess.CalledProcessError as error:
        words = f"exit code {error.returncode}: {last_line(error.stderr)}"
        return Result(device, "failed", (words,), command.how)
    except (IncompleteError, OSError, subprocess.TimeoutExpired) as error:
        return Result(device, "failed", (str(error),), command.how)


def _judged(run: Run, workload: Workload, reference: PhotoAnswers) -> Result:
    """Compare all answers, and tell what is broken: limits, the CPU that was seen, a fault that was not caught."""
    classifier = _classifier_difference(run, workload, CLASSIFIER)
    photos = _photo_difference(run, reference)
    fault = _fault_result(run, workload)
    broken = [
        *broken_classifier_limits(classifier, run.device.promise),
        *broken_photo_limits(photos),
        *_wrong_features(run),
        *([] if fault is None or fault.caught else [f"the planted fault '{fault.model}' was not caught"]),
    ]
    return Result(
        run.device,
        "failed" if broken else "ok",
        tuple(broken),
        run.command.how,
        run.report["runtime"],
        run.report["host"],
        classifier,
        photos,
        fault,
        {} if run.command.slow else {name: model["ms"] for name, model in run.report["models"].items()},
    )


def _classifier_difference(run: Run, workload: Workload, model: str) -> ClassifierDifference:
    """Compare the answers to all images, and those to the images that were also run alone: the worse of both counts."""
    network = workload.networks[model]
    units = len(network.layers[0].bias)
    expected = expected_answers(network, workload.images[: run.images])
    together = compare_classifier(read_classifier(run.folder / model, run.images, units), expected)
    first = expected_answers(network, workload.images[:ALONE])
    alone = compare_classifier(read_classifier(run.folder / f"{model}-alone", ALONE, units), first)
    return ClassifierDifference(
        together.images,
        max(together.hidden, alone.hidden),
        max(together.logits, alone.logits),
        max(together.labels, alone.labels),
        max(together.probability, alone.probability, key=_nan_is_worst),
    )


def _nan_is_worst(value: float) -> float:
    return float("inf") if value != value else value


def _photo_difference(run: Run, reference: PhotoAnswers) -> PhotoDifference:
    found, count = read_photos(run.folder / PHOTO, run.photos), run.photos
    expected = PhotoAnswers(reference.probabilities[:count], reference.images[:count], reference.masks[:count])
    return compare_photos(found, expected)


def _fault_result(run: Run, workload: Workload) -> FaultResult | None:
    """Judge the faulty model as if it were the shipped one: its limits must break."""
    if run.device.fault is None:
        return None
    difference = _classifier_difference(run, workload, run.device.fault)
    return FaultResult(run.device.fault, bool(broken_classifier_limits(difference, Promise.BITS)), difference)


def _wrong_features(run: Run) -> list[str]:
    """Return a sentence for each CPU feature that should be seen there and is not, or the other way round."""
    seen = run.report["features"]
    return [
        f"the CPU shows {'no ' if here else ''}{name}: other kernels ran than those of this row"
        for name, here in run.device.features.items()
        if (name in seen) != here
    ]
