"""`python -m fmnist_bench.devices`: run the matrix, print its table, exit 1 if a row failed or was not run."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from fmnist_bench.devices.device import Device
from fmnist_bench.devices.matrix import DEVICES
from fmnist_bench.devices.result import Result
from fmnist_bench.devices.running import run_device
from fmnist_bench.devices.table import facts, markdown
from fmnist_bench.devices.tools import Tools
from fmnist_bench.devices.workload import Workload, write_workload


@click.command()
@click.option("--quick", is_flag=True, help="Only the rows that are fast and need few downloads.")
@click.option("--only", multiple=True, metavar="DEVICE", help="Only rows whose name contains this; may be repeated.")
@click.option("--allow-missing", is_flag=True, help="Exit 0 although rows were not run.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/devices"), show_default=True)
def main(quick: bool, only: tuple[str, ...], allow_missing: bool, output: Path) -> None:
    """Run the shipped models on every kind of device and compare their answers with this machine's."""
    devices = chosen(quick, only)
    results = run_matrix(devices, output)
    matrix = facts(results)
    (output / "devices.json").write_text(json.dumps(matrix, indent=1) + "\n")
    (output / "devices.md").write_text(markdown(matrix))
    click.echo(markdown(matrix))
    click.echo(f"wrote {output / 'devices.md'} and {output / 'devices.json'}")
    sys.exit(exit_code(results, allow_missing))


def chosen(quick: bool, only: tuple[str, ...]) -> list[Device]:
    """Return the devices to run. The first is always among them: its photos are what the others are compared with."""
    wanted = [device for device in DEVICES[1:] if device.quick or not quick]
    if only:
        wanted = [device for device in wanted if any(part.lower() in device.name.lower() for part in only)]
        if not wanted:
            names = ", ".join(device.name for device in DEVICES[1:])
            raise click.UsageError(f"--only names no device; there are: {names}")
    return [DEVICES[0], *wanted]


def run_matrix(devices: list[Device], output: Path) -> list[Result]:
    """Run the devices one after another, telling on standard error what goes on."""
    workload, tools = write_workload(output / "workload"), Tools((output / "tools").absolute())
    tools.folder.mkdir(parents=True, exist_ok=True)
    return [_timed(device, workload, tools, output) for device in devices]


def _timed(device: Device, workload: Workload, tools: Tools, output: Path) -> Result:
    click.echo(f"{device.name} ...", err=True)
    started = time.monotonic()
    result = run_device(device, workload, tools, *(_answers(output, d) for d in (device, DEVICES[0])))
    seconds = time.monotonic() - started
    click.echo(f"{device.name}: {'; '.join([result.status, *result.reasons])} ({seconds:.0f} s)", err=True)
    return result


def _answers(output: Path, device: Device) -> Path:
    return output.absolute() / "answers" / device.name.lower().replace(" ", "-").replace(",", "")


def exit_code(results: list[Result], allow_missing: bool) -> int:
    """Return 1 if a row failed, or was not run though it had to, else 0."""
    statuses = [result.status for result in results]
    return int("failed" in statuses or ("not run" in statuses and not allow_missing))


if __name__ == "__main__":
    main()
