"""The device matrix: run the shipped models on every device, compare the answers, print the table.

`python -m fmnist_bench.devices.matrix` (make devices) exits with 1 if a row failed or was not run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import onnx
import PIL.Image
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tabulate import tabulate

from fmnist_bench.devices.devices import DEVICES, TOOLS, Command, Device, NotAvailableError, cpu_fact, last_line
from fmnist_bench.devices.program import ALONE
from fmnist_bench.publish import CHECKOUT, replace_between
from fmnist_edge.dataset import load_split
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, LABELS, sha256_of

OUTPUT: Final = TOOLS.parent
MARKS: Final = ("<!-- devices: written by `make devices`; do not edit -->", "<!-- end of devices -->")
EARLY, STRESS, PICTURES = (
    2_000,
    1_000,
    200,
)  # test images, then stress images, then the rest; pictures for the photo model
SLOW_IMAGES: Final = EARLY + STRESS  # for emulated devices
# Largest difference of a probability: where integers are computed; in float, where an activation halfway between two
# integers may be rounded the other way (0.0006 for one such step); and of the photo model.
LIMITS: Final = {"integers": 1e-6, "floats": 0.002, "pictures": 0.01}
Tensors = dict[str, NDArray[Any]]


@click.command()
@click.option("--quick", is_flag=True, help="Only the rows that are fast and need few downloads.")
@click.option("--only", multiple=True, metavar="DEVICE", help="Only rows whose name contains this; may be repeated.")
@click.option("--allow-missing", is_flag=True, help="Exit with 0 even if some rows could not be run.")
@click.option("--page", type=click.Path(path_type=Path), help="Write the table of a full run into this page.")
def main(quick: bool, only: tuple[str, ...], allow_missing: bool, page: Path | None) -> None:
    """Run the shipped models on every kind of device and compare the answers."""
    if page and (quick or only):
        raise click.UsageError("--page needs a full run: leave out --quick and --only.")
    TOOLS.mkdir(parents=True, exist_ok=True)
    workload = write_workload(OUTPUT / "workload", SLOW_IMAGES if quick else None)
    files = ", ".join(f"`{path.name}` {sha256_of(path)[:12]}" for path in (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL))
    rows = [run_device(device, workload, OUTPUT / "answers") for device in chosen(quick, only)]
    text = f"Files (SHA-256): {files}. Machine: {cpu_fact('model name')}.\n\n{tables(rows)}"
    (OUTPUT / "devices.json").write_text(json.dumps({"machine": cpu_fact("model name"), "rows": rows}, indent=1) + "\n")
    click.echo(text)
    bad = [row for row in rows if row["status"] == "failed" or (row["status"] == "not run" and not allow_missing)]
    if page and not bad:
        replace_between(page, MARKS, text.rstrip())
    sys.exit(bool(bad))


def chosen(quick: bool, only: tuple[str, ...]) -> list[Device]:
    """Return the devices to run. The first is always included: the others are compared with it."""
    wanted = [device for device in DEVICES[1:] if device.quick or not quick]
    if only:
        wanted = [device for device in wanted if any(part.lower() in device.name.lower() for part in only)]
        if not wanted:
            names = ", ".join(device.name for device in DEVICES[1:])
            raise click.UsageError(f"--only matches no device; there are: {names}")
    return [DEVICES[0], *wanted]


@dataclass(frozen=True)
class Workload:
    """A folder for the devices: images.u8, pictures.u8 with pictures.json (heights and widths), and the models."""

    folder: Path
    images: NDArray[np.uint8]  # [n, 28, 28]
    networks: dict[str, Tensors]  # by model name: the integers of the classifier and of the models with a planted fault


def write_workload(folder: Path, count: int | None = None) -> Workload:
    """Write the workload with all images or the first `count`. Raises DataError if there is no dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    test = load_split("test").images
    images = np.concatenate([test[:EARLY], stress_images(), test[EARLY:]])[:count]
    (folder / "images.u8").write_bytes(images.tobytes())
    pictures = all_pictures(test)
    (folder / "pictures.u8").write_bytes(b"".join(picture.tobytes() for picture in pictures))
    (folder / "pictures.json").write_text(json.dumps([picture.shape[:2] for picture in pictures]))
    shutil.copyfile(EMBEDDED_PHOTO_MODEL, folder / "photo.onnx")
    model = onnx.load(EMBEDDED_CLASSIFIER)
    for name, kind in (("hidden_quantized", TensorProto.UINT8), ("logits", TensorProto.FLOAT)):
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    networks = {"classifier": tensors, "full-range": full_range(tensors), "minus-128": minus_128(tensors)}
    for name, changed in networks.items():
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name], tensor.name))
        onnx.save(model, folder / f"{name}.onnx")
    return Workload(folder, images, networks)


def stress_images() -> NDArray[np.uint8]:
    """Return images unlike any garment, uint8 [1000, 28, 28]: plain, striped, noise."""
    stripes = np.tile(np.array([255, 0], np.uint8), (28, 14))
    special = [*(np.full((28, 28), level, np.uint8) for level in (0, 255, 128)), stripes, stripes.T, 255 - stripes]
    return np.concatenate([special, np.random.default_rng(1).integers(0, 256, (STRESS - 6, 28, 28), np.uint8)])


def all_pictures(test: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return 200 pictures, uint8 [height, width, 3]: samples, photos if available, odd shapes, test images enlarged."""
    photos = sorted(Path(os.environ.get("FMNIST_PHOTOS", "/nowhere")).glob("train/*/*.jpg"))
    found = []
    for path in (*sorted((CHECKOUT / "samples").rglob("*.jpg")), *photos[:: max(len(photos) // 50, 1)][:50]):
        with PIL.Image.open(path) as image:
            found.append(np.asarray(image.convert("RGB").reduce(max(1, max(image.size) // 128))))
    random = np.random.default_rng(2)
    for height, width in ((1, 1), (1, 200), (512, 3), (64, 64), (63, 65), (128, 512), (300, 200), (7, 7)):
        found += [random.integers(0, 256, (height, width, 3), np.uint8), np.full((height, width, 3), 200, np.uint8)]
    for number in range(PICTURES - len(found)):
        image, size = test[-1 - number] ^ np.uint8(255 * (number % 2)), (60 + number, 60 + number + number % 40)
        grey = np.asarray(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.BICUBIC))
        found.append(np.rint(grey[..., None] * random.uniform(0.5, 1, 3)).astype(np.uint8))
    return found


def full_range(tensors: Tensors) -> Tensors:
    """Stretch each column of the first kernel to -127..127: the 16-bit pair sums of x86 without VNNI saturate."""
    stretch = (127 / np.abs(tensors["hidden_kernel"].astype(int)).max(axis=0)).astype(np.float32)
    grown = {
        name: np.rint(tensors[name] * stretch).astype(tensors[name].dtype) for name in ("hidden_kernel", "hidden_bias")
    }
    return tensors | grown | {name: tensors[name] / stretch for name in ("hidden_kernel_scale", "hidden_bias_scale")}


def minus_128(tensors: Tensors) -> Tensors:
    """Set every tenth block of 16 weights to -128: sums of products overflow on Arm CPUs without dot products."""
    kernel = tensors["hidden_kernel"].copy()
    block = np.random.default_rng(0).random((len(kernel) // 16, kernel.shape[1])) < 0.1
    kernel[np.repeat(block, 16, axis=0)] = -128
    return tensors | {"hidden_kernel": kernel}


def run_device(device: Device, workload: Workload, answers: Path) -> dict[str, Any]:
    """Run the workload on a device by the first method available here, and compare its answers."""
    row: dict[str, Any] = {"device": device.name, "examples": device.examples, "status": "not run", "reasons": []}
    for method in device.methods:
        try:
            row |= _run(device, method(), workload, answers)
            row["status"] = "failed" if row["reasons"] else "ok"
            break
        except NotAvailableError as missing:
            row["reasons"].append(str(missing))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            row |= {"status": "failed", "reasons": [last_line(getattr(error, "stderr", None) or str(error))]}
            break
    click.echo(f"{device.name}: {'; '.join([row['status'], *row['reasons']])}", err=True)
    return row


def _run(device: Device, command: Command, workload: Workload, answers: Path) -> dict[str, Any]:
    """Run the device's program and compare what it writes; `reasons` has a sentence for each limit exceeded."""
    folder = answers / device.name.lower().replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    count = min(SLOW_IMAGES, len(workload.images)) if command.slow else len(workload.images)
    models = ["classifier", *(["photo"] if device.photo else []), *([device.fault] if device.fault else [])]
    line = [*command.line, str(workload.folder), str(folder), str(count), *models]
    environment = os.environ | command.environment
    subprocess.run(line, env=environment, capture_output=True, text=True, timeout=1_800, check=True)
    report = json.loads((folder / "answers.json").read_text())
    expected = expected_answers(workload.networks["classifier"], workload.images[:count])
    if device.floats:
        expected = {"probabilities": expected["probabilities"]}
    limit = LIMITS["floats" if device.floats else "integers"]
    images, broken = compare(folder, "classifier", expected, limit)
    ms = "-" if command.slow else " / ".join(f"{time:.3f}" for time in list(report["ms"].values())[:2])
    row = {"runtime": f"{report['runtime']}; {command.how}", "ms": ms, "images": images}
    if device.photo:
        first = np.fromfile(answers / "this-machine" / "photo.probabilities", np.float32).reshape(-1, len(LABELS))
        row["pictures"], more = compare(folder, "photo", {"probabilities": first}, LIMITS["pictures"])
        broken += more
    if device.fault:
        expected = expected_answers(workload.networks[device.fault], workload.images[:count])
        wrongly, caught = compare(folder, device.fault, expected, limit)
        row["caught"] = f"the planted fault '{device.fault}' changes {wrongly['labels']} of {wrongly['count']:,} labels"
        broken += [] if caught else [f"the planted fault '{device.fault}' was not caught"]
    wrong = [name for name, present in device.features.items() if (name in report["features"]) != present]
    return row | {"reasons": broken + [f"{name} is not as this device has it: other kernels ran" for name in wrong]}


def expected_answers(tensors: Tensors, images: NDArray[np.uint8]) -> Tensors:
    """Return numpy's integer results for all images, then for the first ALONE again; softmax in float64."""
    rows = np.concatenate([images, images[:ALONE]]).reshape(-1, 784).astype(float)
    sums = (rows @ tensors["hidden_kernel"].astype(float) + tensors["hidden_bias"]).astype(np.float32)
    steps = np.rint(sums * (tensors["hidden_bias_scale"] / tensors["hidden_scale"]))
    hidden = np.clip(steps, 0, 255).astype(np.uint8)
    sums = (hidden.astype(float) @ tensors["output_kernel"].astype(float) + tensors["output_bias"]).astype(np.float32)
    logits = sums * tensors["output_bias_scale"]
    powers = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return {"hidden_quantized": hidden, "logits": logits, "probabilities": probabilities}


def compare(folder: Path, model: str, expected: Tensors, limit: float) -> tuple[dict[str, Any], list[str]]:
    """Return how far a device's answers are from those expected, and a sentence for each limit exceeded.

    Probabilities may differ by `limit`, all else must be equal to the bit. Raises OSError or ValueError if there are
    too few or too many answers.
    """
    found = {
        name: np.fromfile(folder / f"{model}.{name}", want.dtype).reshape(want.shape) for name, want in expected.items()
    }
    differ = {name: int((found[name] != expected[name]).any(axis=1).sum()) for name in found if name != "probabilities"}
    mine, theirs = found["probabilities"].astype(float), expected["probabilities"].astype(float)
    differ["labels"] = int((mine.argmax(axis=1) != theirs.argmax(axis=1)).sum())
    largest = float(np.abs(mine - theirs).max())
    broken = [f"{model}: {name} of {count} of {len(mine)} differ" for name, count in differ.items() if count]
    if not largest <= limit:  # so that NaN counts as exceeding it
        broken.append(f"{model}: a probability differs by {largest:.2g}, more than {limit:g}")
    return {"count": len(mine), **differ, "probability": largest}, broken


def tables(rows: list[dict[str, Any]]) -> str:
    """Return the matrix, its planted faults, and why rows failed or were not run, in Markdown."""
    table = [
        {
            "device": f"{row['device']} ({row['examples']})",
            "runtime": row.get("runtime", "-"),
            "images: labels that differ": _cell(row.get("images")),
            "pictures: labels that differ": _cell(row.get("pictures")),
            "ms": row.get("ms", "-"),
            "": row["status"],
        }
        for row in rows
    ]
    reasons = [f"- {row['device']}, {row['status']}: {reason}" for row in rows for reason in row["reasons"]]
    reasons += [f"- {row['device']}: {row['caught']}" for row in rows if "caught" in row]
    lines = "\n".join(reasons)
    return f"{tabulate(table, 'keys', 'github', disable_numparse=True)}\n\n{lines}\n"


def _cell(found: dict[str, Any] | None) -> str:
    return f"{found['labels']} of {found['count']:,}, dp {found['probability']:.0e}" if found else "-"


if __name__ == "__main__":
    main()
