"""`python -m fmnist_bench.devices`: run the matrix, print its tables, exit 1 if a row failed or was not run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from tabulate import tabulate

from fmnist_bench.devices.compare import EARLY, LIMITS, STRESS, Workload, compare, expected_answers, write_workload
from fmnist_bench.devices.devices import DEVICES, TOOLS, Command, Device, NotAvailableError, cpu_fact, last_line
from fmnist_edge.contract import LABELS
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL, sha256_of

OUTPUT: Final = TOOLS.parent
SLOW_IMAGES: Final = EARLY + STRESS  # what emulation is given
MARKERS: Final = re.compile(r"(<!-- devices: .*?-->\n).*?(<!-- end of devices -->)", re.DOTALL)


@click.command()
@click.option("--quick", is_flag=True, help="Only the rows that are fast and need few downloads.")
@click.option("--only", multiple=True, metavar="DEVICE", help="Only rows whose name contains this; may be repeated.")
@click.option("--allow-missing", is_flag=True, help="Exit 0 although rows were not run.")
@click.option("--page", type=click.Path(path_type=Path), help="Write the tables of a whole run into this page.")
def main(quick: bool, only: tuple[str, ...], allow_missing: bool, page: Path | None) -> None:
    """Run the shipped models on every kind of device and compare the answers."""
    if page and (quick or only):
        raise click.UsageError("--page is of a whole run: leave --quick and --only away.")
    TOOLS.mkdir(parents=True, exist_ok=True)
    workload = write_workload(OUTPUT / "workload", SLOW_IMAGES if quick else None)
    files = ", ".join(f"`{path.name}` {sha256_of(path)[:12]}" for path in (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL))
    rows = [run_device(device, workload, OUTPUT / "answers") for device in chosen(quick, only)]
    text = f"Files (SHA-256): {files}. Machine: {cpu_fact('model name')}.\n\n{tables(rows)}"
    (OUTPUT / "devices.json").write_text(json.dumps({"machine": cpu_fact("model name"), "rows": rows}, indent=1) + "\n")
    click.echo(text)
    bad = [row for row in rows if row["status"] == "failed" or (row["status"] == "not run" and not allow_missing)]
    if page and not bad:
        page.write_text(MARKERS.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page.read_text()))
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
    """Run the device's program and compare what it writes; `reasons` has a sentence for each limit that is broken."""
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
    wrong = [name for name, here in device.features.items() if (name in report["features"]) != here]
    return row | {"reasons": broken + [f"{name} against what this row is of: other kernels ran" for name in wrong]}


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
