"""`python -m fmnist_bench.devices`: run the matrix, print its tables, exit 1 if a row failed or was not run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from tabulate import tabulate

from fmnist_bench.devices import compare
from fmnist_bench.devices.compare import Workload, write_workload
from fmnist_bench.devices.devices import DEVICES, TOOLS, Command, Device, NotAvailableError, cpu_fact, last_line
from fmnist_edge.contract import LABELS
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, sha256_of

ROW_SECONDS: Final = 1_800
SLOW_IMAGES: Final = compare.EARLY + compare.STRESS  # what emulation is given
MARKERS: Final = re.compile(r"(<!-- devices: .*?-->\n\n).*?(\n<!-- end of devices -->)", re.DOTALL)


@click.command()
@click.option("--quick", is_flag=True, help="Only the rows that are fast and need few downloads.")
@click.option("--only", multiple=True, metavar="DEVICE", help="Only rows whose name contains this; may be repeated.")
@click.option("--allow-missing", is_flag=True, help="Exit 0 although rows were not run.")
@click.option(
    "--page", type=click.Path(path_type=Path), help="Write the tables of a whole run between a page's markers."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=TOOLS.parent, show_default="build/devices")
def main(quick: bool, only: tuple[str, ...], allow_missing: bool, page: Path | None, output: Path) -> None:
    """Run the shipped models on every kind of device and compare the answers."""
    if page and (quick or only):
        raise click.UsageError("--page is of a whole run: leave --quick and --only away.")
    TOOLS.mkdir(parents=True, exist_ok=True)
    workload = write_workload(output.absolute() / "workload", SLOW_IMAGES if quick else None)
    rows = [run_device(device, workload, output.absolute() / "answers") for device in chosen(quick, only)]
    (output / "devices.json").write_text(json.dumps({"machine": cpu_fact("model name"), "rows": rows}, indent=1) + "\n")
    click.echo(tables(rows))
    bad = [row for row in rows if row["status"] == "failed" or (row["status"] == "not run" and not allow_missing)]
    if page and not bad:
        page.write_text(MARKERS.sub(lambda found: found[1] + tables(rows) + found[2], page.read_text()))
    sys.exit(bool(bad))


def chosen(quick: bool, only: tuple[str, ...]) -> list[Device]:
    """Return the devices to run. The first is always among them: the others are compared with it."""
    wanted = [device for device in DEVICES[1:] if device.quick or not quick]
    if only:
        wanted = [device for device in wanted if any(part.lower() in device.name.lower() for part in only)]
        if not wanted:
            names = ", ".join(device.name for device in DEVICES[1:])
            raise click.UsageError(f"--only names no device; there are: {names}")
    return [DEVICES[0], *wanted]


def run_device(device: Device, workload: Workload, answers: Path) -> dict[str, Any]:
    """Run the workload on a device in the first way that this machine has, and judge what comes back."""
    started = time.monotonic()
    row: dict[str, Any] = {"device": device.name, "examples": device.examples, "status": "not run", "reasons": []}
    for method in device.methods:
        try:
            row |= _run(device, method(), workload, answers)
            row["status"] = "failed" if row["reasons"] else "ok"
            break
        except NotAvailableError as missing:
            row["reasons"].append(str(missing))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            words = last_line(getattr(error, "stderr", None) or str(error))
            row |= {"status": "failed", "reasons": [words]}
            break
    line = "; ".join([row["status"], *row["reasons"]])
    click.echo(f"{device.name}: {line} ({time.monotonic() - started:.0f} s)", err=True)
    return row


def _run(device: Device, command: Command, workload: Workload, answers: Path) -> dict[str, Any]:
    """Run the device's program and compare what it writes; `reasons` has a sentence for each limit that is broken."""
    folder = answers / device.name.lower().replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    count = min(SLOW_IMAGES, len(workload.images)) if command.slow else len(workload.images)
    models = ["classifier", *(["photo"] if device.photo else []), *([device.fault] if device.fault else [])]
    line = [*command.line, str(workload.folder), str(folder), str(count), *models]
    environment = os.environ | command.environment
    subprocess.run(line, env=environment, capture_output=True, text=True, timeout=ROW_SECONDS, check=True)
    report = json.loads((folder / "answers.json").read_text())
    expected = compare.expected_answers(workload.networks["classifier"], workload.images[:count])
    if device.floats:
        expected = {"probabilities": expected["probabilities"]}
    limit = compare.LIMITS["floats" if device.floats else "integers"]
    images, broken = compare.compare(folder, "classifier", expected, limit)
    row = {"runtime": f"{report['runtime']}; {command.how}", "ms": report["ms"], "slow": command.slow, "images": images}
    if device.photo:
        first = np.fromfile(answers / "this-machine" / "photo.probabilities", np.float32).reshape(-1, len(LABELS))
        row["pictures"], more = compare.compare(folder, "photo", {"probabilities": first}, compare.LIMITS["pictures"])
        broken += more
    if device.fault:
        expected = compare.expected_answers(workload.networks[device.fault], workload.images[:count])
        row["faulty"], caught = compare.compare(folder, device.fault, expected, limit)
        row["fault"] = device.fault
        broken += [] if caught else [f"the planted fault '{device.fault}' was not caught"]
    wrong = [name for name, here in device.features.items() if (name in report["features"]) != here]
    return row | {"reasons": broken + [f"{name} against what this row is of: other kernels ran" for name in wrong]}


def tables(rows: list[dict[str, Any]]) -> str:
    """Return the matrix, its planted faults, and why rows failed or were not run, in Markdown."""
    files = ", ".join(f"`{path.name}` {sha256_of(path)[:12]}" for path in (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL))
    table = [
        {
            "device": f"{row['device']} ({row['examples']})",
            "runtime": row.get("runtime", "-"),
            "images: labels that differ": _cell(row.get("images")),
            "pictures: labels that differ": _cell(row.get("pictures")),
            "ms": _times(row),
            "": row["status"],
        }
        for row in rows
    ]
    faults = [
        {"fault": row["fault"], "caught on": row["device"], "labels that differ": _cell(row["faulty"])}
        for row in rows
        if "faulty" in row
    ]
    reasons = [f"- {row['device']}, {row['status']}: {reason}" for row in rows for reason in row["reasons"]]
    parts = [f"Files (SHA-256): {files}. Machine: {cpu_fact('model name')}."]
    parts += [tabulate(part, "keys", "github", disable_numparse=True) for part in (table, faults) if part]
    return "\n\n".join([*parts, *(["\n".join(reasons)] if reasons else [])]) + "\n"


def _times(row: dict[str, Any]) -> str:
    """Return the times of an image and of a picture alone; none under emulation."""
    names = [name for name in ("classifier", "photo") if name in row.get("ms", {}) and not row["slow"]]
    return " / ".join(f"{row['ms'][name]:.3f}" for name in names) or "-"


def _cell(found: dict[str, Any] | None) -> str:
    return f"{found['labels']} of {found['count']:,}, dp {found['probability']:.0e}" if found else "-"


if __name__ == "__main__":
    main()
